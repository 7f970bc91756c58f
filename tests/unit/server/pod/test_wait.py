"""A pod that waits asks the store itself; a Job that has failed ends the wait with its reason."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lipserve.errors import EngineError, SetupError
from lipserve_server.pod.api_server import Identity
from lipserve_server.pod.wait import Job, main, wait
from lipserve_server.repository.engines import Machine
from tests.support.stores import A100, LEAVES, build, export

FAILED = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    export(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def api(api_server: Callable[[Path], AbstractContextManager[Any]], tmp_path: Path) -> Iterator[Any]:
    account = tmp_path / "account"
    account.mkdir()
    with api_server(account) as made:
        yield made


@pytest.fixture
def job(api: Any) -> Job:
    return Job("lipserve-build-1", Identity("127.0.0.1", api.port, "lipserve-0", api.account))


class Working(Job):
    """A Job that has done its work when it has been asked for so many times."""

    def __init__(self, work: Callable[[], None], after: int = 1, asked: Job | None = None) -> None:
        super().__init__("lipserve-build-1", None)
        self._work, self._left, self._asked = work, after, asked

    def failure(self) -> str | None:
        self._left -= 1
        if self._left == 0:
            self._work()
        return self._asked.failure() if self._asked else None


def test_engines_that_fit_are_found_whoever_built_them(store: Path) -> None:
    build(store)
    assert list(store.glob(".*")) == []  # no mark
    wait(store, "tensorrt", 0, machine=A100)


@pytest.mark.parametrize(
    "other",
    [replace(A100, tensorrt="10.14.1"), replace(A100, capabilities=("sm90",))],
    ids=["TensorRT", "GPU"],
)
def test_engines_of_another_machine_do_not_do(store: Path, other: Machine) -> None:
    build(store, other)
    with pytest.raises(SetupError, match="no TensorRT plans for this machine"):
        wait(store, "tensorrt", 0, machine=A100)


def test_engines_of_other_graphs_and_damaged_ones_do_not_do(store: Path) -> None:
    build(store, text="second")
    with pytest.raises(SetupError, match="other models"):
        wait(store, "tensorrt", 0, machine=A100)
    build(store, plan=b"pla")
    with pytest.raises(SetupError, match="is not the plan"):
        wait(store, "tensorrt", 0, machine=A100)


def test_it_ends_when_the_last_engine_is_there(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        wait(store, "tensorrt", 600, job=Working(partial(build, store), 3), machine=A100, interval=0.01)
    assert [record.getMessage()[:22] for record in caplog.records] == ["Waiting for the store:"]


def test_a_store_that_is_rewritten_is_waited_for(store: Path) -> None:
    """A Job that was taken back in the middle leaves a graph that its manifest does not tell of."""
    (store / LEAVES[0] / "1" / "model.onnx").write_bytes(b"second")
    with pytest.raises(SetupError, match="is damaged, or of another export"):
        wait(store, "onnx", 0)
    back = Working(partial(export, store))  # the Job of the release that is back
    wait(store, "onnx", 600, job=back, interval=0.01)


def test_tiers_that_the_job_exports_have_to_be_there(store: Path) -> None:
    wait(store, "onnx", 0, ["lipwarp"])
    with pytest.raises(SetupError, match=r"lacks .* of the tier wav2lip"):
        wait(store, "onnx", 0, ["lipwarp", "wav2lip"])


def test_a_job_that_failed_ends_the_wait_at_once_with_its_reason(store: Path, api: Any, job: Job) -> None:
    api.found = {"status": {"conditions": [{"type": "Suspended", "status": "False"}, FAILED]}}
    with pytest.raises(SetupError, match=r"failed \(BackoffLimitExceeded: too often\)") as caught:
        wait(store, "tensorrt", 1e6, job=job, machine=A100)
    assert "lipserve ops build-engines" in caught.value.remedy
    ((method, path, headers, _),) = api.asked
    assert (method, path) == ("GET", "/apis/batch/v1/namespaces/media/jobs/lipserve-build-1")
    assert headers["Authorization"] == "Bearer first-token"


def test_a_failed_job_does_not_matter_where_engines_fit(store: Path, api: Any, job: Job) -> None:
    build(store)
    api.found = {"status": {"conditions": [FAILED]}}
    wait(store, "tensorrt", 0, job=job, machine=A100)


@pytest.mark.parametrize("status", [200, 403, 404])
def test_a_job_at_work_or_unknown_is_waited_for(
    store: Path, api: Any, job: Job, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    api.status = status
    working = Working(partial(build, store), 2, job)
    wait(store, "tensorrt", 600, job=working, machine=A100, interval=0.01)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == (status != 200)  # once
    assert len(api.asked) == 2


def test_the_time_ends_and_says_what_is_missing(store: Path) -> None:
    with pytest.raises(SetupError, match=r"no TensorRT plans .* after 0 s of waiting") as caught:
        wait(store, "tensorrt", 0.2, machine=A100, interval=0.05)
    assert "Build them on the GPU that serves" in caught.value.remedy


def test_a_machine_that_can_run_no_engine_is_told_at_once(store: Path) -> None:
    with pytest.raises(EngineError, match="TensorRT is missing here"):
        wait(store, "tensorrt", 1e6, machine=replace(A100, tensorrt=None))


def test_a_copy_is_made_before_each_look(store: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    script = 'echo "$LOOK" >>looks; if [ "$LOOK" = 3 ]; then cp -R "$0" "$1"; fi'
    copying = ["sh", "-euc", f"cd {tmp_path}; {script}", str(store), str(cache)]
    wait(cache, "onnx", 60, fetch=copying, interval=0.01)
    assert (tmp_path / "looks").read_text().split() == ["1", "2", "3"]


def test_a_copy_that_fails_ends_the_wait(store: Path) -> None:
    with pytest.raises(SetupError, match="cannot be copied: sh ended with 7"):
        wait(store, "onnx", 1e6, fetch=["sh", "-c", "exit 7"])


def test_the_command_ends_with_the_exit_code_of_a_setup_that_is_wrong(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--repository", str(store), "--profile", "onnx"]
    assert main(arguments) == 0
    assert main([*arguments, "--tier", "wav2lip", "--", "true"]) == 5
    assert capsys.readouterr().err.startswith("error: ")


def test_it_ends_at_once_when_its_pod_is_taken_away(store: Path) -> None:
    command = [sys.executable, "-m", "lipserve_server.pod.wait", "--repository", str(store)]
    options = ["--profile", "onnx", "--tier", "wav2lip", "--timeout", "600"]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        assert "Waiting for the store" in waiting.stderr.readline()
        waiting.terminate()
        assert waiting.wait(60) == 143
