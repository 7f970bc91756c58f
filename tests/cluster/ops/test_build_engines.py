"""`lipserve ops build-engines`: Jobs whose containers are real processes, some that fail."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.ops.conftest import Operate
from tests.cluster.ops.node import Log
from tests.cluster.ops.stand_in import Object, StandIn

COMPLETE = {"conditions": [{"type": "Complete", "status": "True"}]}
FAILED = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}


class Runner:
    """Runs the containers of each new Job in turn, a given command for each, and tells the cluster."""

    def __init__(self, cluster: StandIn, commands: dict[str, list[str]]) -> None:
        self._cluster, self._commands = cluster, commands
        self._threads: list[threading.Thread] = []
        cluster.on_create = self.start

    def start(self, job: Object) -> None:
        thread = threading.Thread(target=self._run, args=(job,))
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self, job: Object) -> None:
        name, template = job["metadata"]["name"], job["spec"]["template"]
        labels = {**template["metadata"]["labels"], "job-name": name}
        status: Object = {"phase": "Running", "initContainerStatuses": [], "containerStatuses": []}
        metadata = {"name": f"{name}-x", "labels": labels}
        self._cluster.put("pods", {"metadata": metadata, "spec": template["spec"], "status": status})
        for part, kind in (
            ("initContainers", "initContainerStatuses"),
            ("containers", "containerStatuses"),
        ):
            for container in template["spec"].get(part, []):
                if self._contain(metadata["name"], container["name"], status[kind]):
                    job["status"] = {"conditions": [FAILED]}
                    return
        job["status"] = COMPLETE

    def _contain(self, pod: str, name: str, statuses: list[Any]) -> int:
        log = self._cluster.node.logs[pod, name] = Log()
        status: Object = {"name": name, "ready": False, "restartCount": 0, "image": "i", "imageID": ""}
        statuses.append(status | {"state": {"running": {}}})
        command = self._commands[name]
        code = log.read(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        said = b"".join(log.lines[-1:]).decode() if code else ""
        reason = "Error" if code else "Completed"
        statuses[-1] = status | {
            "state": {"terminated": {"exitCode": code, "reason": reason, "message": said}}
        }
        return code


def _saying(*lines: str) -> list[str]:
    script = "import sys, time\nfor line in sys.argv[1:]: print(line, flush=True); time.sleep(0.1)"
    return [sys.executable, "-c", script, *lines]


@pytest.fixture
def job(installed: StandIn) -> Object:
    """The chart's Job."""
    (made,) = installed.objects["jobs"].values()
    return made


@pytest.fixture
def done(job: Object) -> Object:
    """The chart's Job, which has run once and carries what its controller wrote."""
    job["status"] = COMPLETE
    job["spec"]["selector"] = {"matchLabels": {"controller-uid": "1"}}
    labels = job["spec"]["template"]["metadata"]["labels"]
    labels |= {"controller-uid": "1", "batch.kubernetes.io/job-name": job["metadata"]["name"]}
    return job


@pytest.fixture
def runner(installed: StandIn) -> Iterator[Runner]:
    engines = _saying("vae_decoder: building", "vae_decoder: 43 s")
    made = Runner(installed, {"engines": engines})
    yield made
    made.join()


def test_a_job_is_made_of_the_chart_s_and_followed(
    installed: StandIn, done: Object, runner: Runner, operate: Operate
) -> None:
    code, out, _ = operate("build-engines")
    assert code == 0
    (name,) = installed.objects["jobs"].keys() - {done["metadata"]["name"]}
    assert out.splitlines() == [
        f"Job {name}",
        "engines: vae_decoder: building",
        "engines: vae_decoder: 43 s",
        f"Job {name} is done.",
    ]
    made = installed.objects["jobs"][name]
    assert made["spec"]["template"]["spec"] == done["spec"]["template"]["spec"]
    assert "selector" not in made["spec"]
    assert "controller-uid" not in str(made)
    assert made["metadata"]["labels"]["app.kubernetes.io/component"] == "engines"
    assert len(name) <= 63


def test_the_exporter_s_own_refusal_is_told(
    installed: StandIn, done: Object, operate: Operate, tmp_path: Path
) -> None:
    exporter = str(Path(sys.executable).parent / "lipserve")
    runner = Runner(installed, {"engines": [exporter, "export", "engines", "--repository", str(tmp_path)]})
    code, out, err = operate("build-engines")
    runner.join()
    assert code == 5  # the container's own
    assert "engines: error: The NVIDIA driver is missing, or finds no GPU." in out
    assert "error: Job lipserve-build-" in err
    assert "engines ended with 5 (Error): error: The NVIDIA driver is missing, or finds no GPU. Build" in err
    assert "BackoffLimitExceeded: too often" in err


def test_a_job_at_work_is_followed_and_no_other_started(
    installed: StandIn, job: Object, runner: Runner, operate: Operate
) -> None:
    runner.start(job)
    code, out, _ = operate("build-engines")
    assert code == 0
    assert "engines: vae_decoder: 43 s" in out
    assert len(installed.objects["jobs"]) == 1


def test_detach_leaves_at_once(done: Object, runner: Runner, operate: Operate) -> None:
    code, out, _ = operate("build-engines", "--detach")
    assert code == 0
    assert out.startswith("Job lipserve-build-")
    assert out.count("\n") == 1


def test_a_release_without_the_job_says_how_to_get_one(installed: StandIn, operate: Operate) -> None:
    installed.objects["jobs"].clear()
    code, _, err = operate("build-engines")
    assert code == 5
    assert "engines.build.enabled=true" in err
