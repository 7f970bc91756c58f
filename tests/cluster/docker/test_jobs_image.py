"""The image of jobs, built by a real engine: NATS, a gateway and a worker of it, hardened as in the chart.

They share one network, without a way out of it, with a server of the development image; their S3 is a folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import jobs_service
from tests.cluster.docker import engine
from tests.cluster.docker.chroot import CHECKOUT
from tests.cluster.docker.engine import Built, Engine
from tests.cluster.proxy import only
from tests.support.gateways import write_tenants
from tests.support.waiting import until

pytestmark = [pytest.mark.whole, pytest.mark.timeout(3600)]

IMAGE = "localhost/lipserve-jobs:0.1.0"
NATS, URL = "nats://127.0.0.1:4222", "127.0.0.1:8001"
PAGES = {"gateway": 8080, "worker": 9101, "server": 8081}
"""The port at which each tells how it is: one network has one of a kind."""

JOB = """
from lipserve import Jobs
from lipserve_client._samples import PORTRAIT, SPEECH
jobs = Jobs("http://127.0.0.1:8080", key="key-studio", timeout=300)
made = jobs.wait(jobs.submit(PORTRAIT, SPEECH))
print(made.report.frames, made.report.driven_frames, made.content[4:8].decode())
"""


@pytest.fixture(scope="module")
def objects(podman: Engine, render: Callable[..., list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The chart's objects, with the image that is built."""
    podman.build(CHECKOUT / "docker/jobs.Dockerfile", IMAGE)
    jobs = {**jobs_service.VALUES["jobs"], "image": {"registry": "localhost", "tag": "0.1.0"}}
    return render({**jobs_service.VALUES, "jobs": jobs})


class Pods:
    """Containers of the chart's pods in one network, by their names."""

    def __init__(self, podman: Engine, folder: Path, opened: contextlib.ExitStack) -> None:
        self._podman, self._folder, self._opened = podman, folder, opened

    def start(self, spec: dict[str, Any], name: str, command: list[str], **more: Any) -> None:
        """Start one; `volumes` are those of the pod that are no emptyDir, `environment` beats the chart's."""
        (own := self._folder / name).mkdir()
        folders = self._opened.enter_context(engine.empty_dirs(spec, own)) | more.get("volumes", {})
        program = "triton" if name == "server" else name
        options = engine.hardened(spec, program, folders)
        options += [f"--env={key}={value}" for key, value in more.get("environment", {}).items()]
        options += [f"--volume={path}:{target}" for target, path in more.get("mounts", {}).items()]
        network = "none" if name == "nats" else "container:nats"
        line = ["run", "--detach", "--replace", "--no-healthcheck", f"--name={name}", f"--network={network}"]
        first, *words = command
        self._podman.run(*line, *options, f"--entrypoint={first}", more.get("image", IMAGE), *words)
        self._opened.callback(self._podman.run, "rm", "--force", "--time=0", name)

    def ask(self, name: str, path: str) -> bool:
        """Return whether a program answers 200 at a path."""
        assert self._podman.state(name)["Running"], self._podman.logs(name)
        code = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PAGES[name]}{path}', timeout=4)"
        return not self._podman.inside(name, "python3", "-c", code).returncode


def pod(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    made: dict[str, Any] = only(objects, kind, name)["spec"]["template"]["spec"]
    return made


@pytest.fixture
def pods(
    podman: Engine, dev_image: Built, objects: list[dict[str, Any]], exported: Path, tmp_path: Path
) -> Iterator[Pods]:
    """NATS, a server, a gateway and a worker, all of them running."""
    store, tenants, nats = (tmp_path / name for name in ("store", "tenants", "nats-data"))
    for folder in (store, tenants, nats):
        folder.mkdir()
        folder.chmod(0o777)
    write_tenants(tenants / "tenants.yaml", studio={})
    configuration = tmp_path / "configuration"
    configuration.mkdir()
    (configuration / "nats.conf").write_text(
        only(objects, "ConfigMap", "lipserve-jobs-nats")["data"]["nats.conf"]
    )
    with contextlib.ExitStack() as opened:
        made = Pods(podman, tmp_path / "pods", opened)
        (tmp_path / "pods").mkdir()
        made.start(
            pod(objects, "StatefulSet", "lipserve-jobs-nats"),
            "nats",
            ["nats-server", "--config=/etc/nats/nats.conf"],
            volumes={"configuration": configuration, "data": nats},
            environment={"POD_NAME": "nats-0"},
        )
        words = [word for word in engine.arguments(dev_image.spec, "triton") if "-port=" not in word]
        made.start(
            dev_image.spec,
            "server",
            ["lipserve", "pod", *words, f"--health-port={PAGES['server']}"],
            volumes={"models": exported},
            image=dev_image.name,
        )
        shared = {"LIPSERVE_JOBS_NATS": NATS, "LIPSERVE_JOBS_STORE": "/store", "LIPSERVE_URL": URL}
        for name in ("gateway", "worker"):
            spec = pod(objects, "Deployment", f"lipserve-jobs-{name}")
            own = {"LIPSERVE_JOBS_METRICS_PORT": str(PAGES["worker"])} if name == "worker" else {}
            command = engine.container(spec, name)["command"]
            made.start(
                spec,
                name,
                command,
                volumes={"tenants": tenants},
                mounts={"/store": store},
                environment=shared | own,
            )
        yield made


def test_a_job_goes_through_hardened_containers(podman: Engine, pods: Pods) -> None:
    """All of them tell that they are well, a job is made, and both programs end as they are told to."""
    for name, path in (("gateway", "/healthz"), ("gateway", "/readyz"), ("worker", "/healthz")):
        until(lambda name=name, path=path: pods.ask(name, path), f"{name} says no at {path}", 120)
    for name in ("gateway", "worker"):
        refused = podman.inside(name, "sh", "-c", "touch /opt/lipserve/x; touch /usr/x; id -u")
        assert refused.stderr.count("Read-only file system") == 2
        assert refused.stdout.strip() == "1000"
    until(lambda: pods.ask("server", "/readyz"), "the server is not ready", 180)
    done = podman.inside("gateway", "python3", "-c", JOB)
    assert done.stdout.split() == ["150", "150", "ftyp"], done.stderr + podman.logs("worker")
    for name in ("worker", "gateway"):
        podman.run("stop", "--time=150", name)
        state = podman.state(name)
        assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
