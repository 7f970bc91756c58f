"""`lipserve ops upgrade`: real Helm renders both steps, the Job's containers are real processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.ops.conftest import VALUES
from tests.cluster.ops.stand_in import Object, StandIn
from tests.cluster.ops.test_build_engines import COMPLETE, FAILED, Runner, _saying
from tests.support.programs import ops as main

CHART = Path(__file__).resolve().parents[3] / "helm/lipserve"
pytest.importorskip("helm_python", reason="helm-python-sdk is not installed: pip install -e '.[dev]'")


class Controllers:
    """Runs the Jobs that come, and rolls a Deployment out as soon as it is not paused.

    Attributes:
        order: what happened: "paused", "job", "rollout".
        ready: whether new pods become ready.
        at_once: whether a Job has ended when Helm returns.
    """

    def __init__(self, cluster: StandIn, runner: Runner) -> None:
        self.order: list[str] = []
        self.ready = True
        self.at_once = False
        self._runner = runner
        cluster.on_create = self.made

    def made(self, one: Object) -> None:
        if one["kind"] == "Job":
            self.order.append("job")
            self._runner.start(one)
            if self.at_once:
                self._runner.join()
        elif one["spec"].get("paused"):
            self.order.append("paused")
        else:
            self.order.append("rollout")
            self._roll_out(one)

    def _roll_out(self, deployment: Object) -> None:
        wanted = deployment["spec"]["replicas"]
        if self.ready:
            deployment["status"] = {
                "replicas": wanted,
                "updatedReplicas": wanted,
                "readyReplicas": wanted,
            }
        else:
            late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
            message = 'ReplicaSet "lipserve-1" has timed out progressing.'
            deployment["status"] = {
                "replicas": wanted,
                "updatedReplicas": 1,
                "readyReplicas": wanted - 1,
                "conditions": [late | {"message": message}],
            }


@pytest.fixture
def helm(tmp_path: Path) -> str:
    """A `helm` that renders with real Helm, and asks the stand-in."""
    program = tmp_path / "helm"
    script = Path(__file__).with_name("helm_program.py")
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def new_values(tmp_path: Path) -> Path:
    """The values of the release with other models: another build."""
    values = yaml.safe_load(VALUES.read_text())
    values["store"]["revision"] = "2026-12-01"
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def upgrade(
    cluster: StandIn, helm: str, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return what upgrades the release with a file of values: the exit code, stdout and stderr."""

    def upgraded(values: Path, *words: str, program: str = helm) -> tuple[int, str, str]:
        options = ["--helm", program, "--kubeconfig", str(cluster.kubeconfig())]
        code = main(["upgrade", *options, "--", str(CHART), "-f", str(values), *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return upgraded


@pytest.fixture
def controllers(installed: StandIn) -> Iterator[Callable[..., Controllers]]:
    """Return what starts the controllers, with the command of the container `engines`."""
    runners = []

    def started(*engines: str) -> Controllers:
        for job in installed.objects["jobs"].values():
            job["status"] = COMPLETE  # of the installation
        runners.append(Runner(installed, {"engines": [*engines] or _saying("vae_decoder: 43 s")}))
        return Controllers(installed, runners[-1])

    yield started
    for runner in runners:
        runner.join()


@pytest.mark.parametrize("at_once", [False, True])
def test_engines_are_built_before_the_first_pod_goes(
    installed: StandIn,
    upgrade: Callable[..., Any],
    controllers: Callable[..., Controllers],
    new_values: Path,
    at_once: bool,
) -> None:
    before = installed.objects["jobs"].keys() | set()
    seen = controllers()
    seen.at_once = at_once
    code, out, err = upgrade(new_values)
    assert code == 0, err
    assert seen.order == ["paused", "job", "rollout"]
    (name,) = installed.objects["jobs"].keys() - before
    lines = out.splitlines()
    assert lines[-4:] == [
        f"Job {name}",
        "engines: vae_decoder: 43 s",
        f"Job {name} is done.",
        "2 of 2 pods replaced, 2 ready",
    ]
    assert "paused" not in installed.objects["deployments"]["lipserve"]["spec"]


def test_a_job_that_fails_leaves_every_pod_as_it_is(
    installed: StandIn,
    upgrade: Callable[..., Any],
    controllers: Callable[..., Controllers],
    new_values: Path,
) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('no room for the plan')"]
    seen = controllers(*failing)
    code, _, err = upgrade(new_values)
    assert code == 1  # the container's own
    assert seen.order == ["paused", "job"]
    assert "no room for the plan" in err
    assert "is paused, and its pods are those of before" in err
    assert installed.objects["deployments"]["lipserve"]["spec"]["paused"] is True
    # Mended: the same call starts the Job again, though Helm leaves its own alone.
    seen = controllers()
    failed = max(
        installed.objects["jobs"].values(), key=lambda job: str(job["metadata"]["creationTimestamp"])
    )
    failed["status"] = {"conditions": [FAILED]}
    code, out, err = upgrade(new_values)
    assert (code, seen.order) == (0, ["job", "rollout"]), err
    assert "vae_decoder: 43 s" in out


def test_where_nothing_is_to_be_built_pods_are_replaced_at_once(
    upgrade: Callable[..., Any], controllers: Callable[..., Controllers]
) -> None:
    seen = controllers()
    code, out, _ = upgrade(VALUES, "--set", "image.tag=0.1.1")  # a patch release
    assert (code, seen.order) == (0, ["paused", "rollout"])
    assert "Nothing is left to build." in out


def test_a_rollout_that_is_stuck_says_what_its_pods_lack(
    installed: StandIn,
    upgrade: Callable[..., Any],
    controllers: Callable[..., Controllers],
    add_pod: Callable[..., Object],
) -> None:
    controllers().ready = False
    ended = {"exitCode": 5, "reason": "Error", "message": "error: no TensorRT plans for this machine."}
    state = {"name": "wait-for-build", "ready": False, "restartCount": 1, "image": "i", "imageID": ""}
    add_pod("lipserve-new", initContainerStatuses=[state | {"state": {"terminated": ended}}])
    code, _, err = upgrade(VALUES, "--set", "image.tag=0.1.1")
    assert code == 1
    assert 'The rollout is stuck: ReplicaSet "lipserve-1" has timed out progressing.' in err
    assert (
        "lipserve-new: wait-for-build ended with 5 (Error): error: no TensorRT plans for this machine." in err
    )


def test_values_that_helm_refuses_change_nothing(
    installed: StandIn, upgrade: Callable[..., Any], controllers: Callable[..., Controllers]
) -> None:
    seen = controllers()
    code, _, _ = upgrade(VALUES, "--set", "profile=embedded")
    assert (code, seen.order) == (1, [])


def test_without_helm_it_says_how_to_name_it(installed: StandIn, upgrade: Callable[..., Any]) -> None:
    code, _, err = upgrade(VALUES, program="/nowhere/helm")
    assert code == 5
    assert "/nowhere/helm cannot be run: No such file or directory. Install Helm" in err
