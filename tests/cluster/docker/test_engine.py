"""Images of servers that a real engine builds, and runs as the chart says: hardened, in its memory, drained.

The server image stands on a base with a real Triton, 24.10, at the paths of NVIDIA's image, and serves the
profile `onnx`. What a CPU cannot run is not here: the profile `tensorrt`, which needs a GPU, its driver,
Triton's backend `tensorrt` and an engine. Nor is what no package gives: Triton's own backend `onnxruntime`,
whose part a small Python backend plays, and the release of Triton that the Dockerfile names.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.docker import engine
from tests.cluster.docker.engine import Built, Engine
from tests.support.waiting import until

pytestmark = [pytest.mark.whole, pytest.mark.timeout(3600)]

IMPORTS = """
import importlib, pkgutil, sys, numpy
import lipserve_server.pod.command, lipserve_server.inside.stages
for module in pkgutil.iter_modules(lipserve_server.inside.stages.__path__, "lipserve_server.inside.stages."):
    importlib.import_module(module.name)
print(sys.version_info[:2], numpy.__version__, numpy.__file__.rpartition("/lib/")[0])
"""
KILL = """
import os, pathlib, signal
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    words = (folder / "cmdline").read_bytes().split(b"\\0")
    if words[0].endswith(b"stub") and b"/lipwarp_generate/" in words[1]:
        os.kill(int(folder.name), signal.SIGKILL)
        break
else:
    raise SystemExit("there is no such process")
"""
SMOKE = ("lipserve", "smoke", "--url", "127.0.0.1:8001")


@pytest.fixture(params=["dev_image", "server_image"])
def built(request: pytest.FixtureRequest) -> Built:
    """Each image that serves, in turn."""
    found: Built = request.getfixturevalue(request.param)
    return found


def smoke(podman: Engine, container: str) -> bool:
    return not podman.inside(container, *SMOKE).returncode


@pytest.fixture
def folders(built: Built, tmp_path: Path) -> Iterator[dict[str, Path]]:
    with engine.empty_dirs(built.spec, tmp_path) as made:
        yield made


def test_the_image_serves_under_the_charts_security_context_and_memory(
    podman: Engine, built: Built, folders: dict[str, Path], exported: Path
) -> None:
    """A clip, a process that is killed, disks that are full, and a drained end."""
    store = [
        f"--volume={exported}:/models:ro",
        "--network=none",
        "--no-healthcheck",
        "--replace",
        "--name=server",
    ]
    hard, words = engine.hardened(built.spec, "triton", folders), engine.arguments(built.spec, "triton")
    podman.run("run", "--detach", *hard, *store, built.name, *words)
    podman.wait("server")
    refused = podman.inside(
        "server", "sh", "-c", "touch /opt/lipserve/x; touch /usr/x; touch /models/x; id -u"
    )
    assert refused.stderr.count("Read-only file system") == 3
    assert refused.stdout.strip() == "1000"
    assert "CapEff:\t0000000000000000" in podman.inside("server", "cat", "/proc/self/status").stdout
    assert smoke(podman, "server")
    killed = podman.inside("server", "python3", "-c", KILL)
    assert not killed.returncode, killed.stderr
    until(lambda: smoke(podman, "server"), "it does not come back", 900)
    for folder in ("/tmp", "/dev/shm"):
        filled = podman.inside("server", "dd", "if=/dev/zero", f"of={folder}/full", "bs=1M")
        assert "No space left on device" in filled.stderr
        podman.inside("server", *SMOKE)  # refused, or served without that room
        podman.inside("server", "rm", f"{folder}/full")
        until(lambda: smoke(podman, "server"), f"it does not serve after {folder} was full", 900)
    under_way = threading.Thread(target=podman.inside, args=("server", *SMOKE))
    under_way.start()
    podman.run("stop", "--time=120", "server")
    under_way.join()
    state = podman.state("server")
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    podman.run("rm", "server")


def playable(spec: dict[str, Any], store: Path, folders: dict[str, Path]) -> dict[str, Any]:
    """Return the pod of a Deployment as podman can play it, with what a kubelet would do done here.

    An emptyDir becomes one of `folders`, and the claim the folder of models. Probes want systemd's timers.
    """
    made: dict[str, Any] = yaml.safe_load(yaml.safe_dump(spec))
    made.pop("initContainers", None)
    for volume in made["volumes"]:
        name = volume["name"]
        volume.clear()
        volume.update(name=name, hostPath={"path": str(folders.get(name, store)), "type": "Directory"})
    for container in made["containers"]:
        for key in ("livenessProbe", "readinessProbe", "startupProbe", "ports", "lifecycle"):
            container.pop(key, None)
    kept = ("containers", "volumes", "securityContext", "terminationGracePeriodSeconds", "restartPolicy")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "played"},
        "spec": {key: made[key] for key in kept if key in made} | {"restartPolicy": "Never"},
    }


def test_podman_plays_the_charts_deployment(
    podman: Engine, built: Built, folders: dict[str, Path], exported: Path, tmp_path: Path
) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump(playable(built.spec, exported, folders)))
    podman.run("kube", "play", "--network=none", file)
    podman.wait("played-triton")
    assert smoke(podman, "played-triton")
    podman.run("pod", "stop", "--time=120", "played")
    state = podman.state("played-triton")
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    podman.run("pod", "rm", "played")


def test_the_server_image_takes_no_package_of_its_base(podman: Engine, server_image: Built) -> None:
    hard = ["--rm", "--network=none", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"]
    told = podman.run("run", *hard, "--entrypoint=python3", server_image.name, "-c", IMPORTS).stdout.strip()
    assert told == "(3, 12) 1.26.4 /opt/lipserve"
