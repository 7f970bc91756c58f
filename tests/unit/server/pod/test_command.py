"""What the command takes and refuses, and what the pod tells before anything is started."""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from lipserve.errors import SetupError
from lipserve.metrics_page import read_samples
from lipserve_server.launcher.options import Options
from lipserve_server.pod import command
from lipserve_server.pod.server import Pod, _age


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser


NEEDED = ["--repository", "s", "--work", "w", "--profile", "onnx"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--grpc-port", "65536"], "65536 is no port"),
        (["--health-port", "-1"], "-1 is no port"),
        (["--exit-timeout", "0"], "0 is not between 0 and 86400 seconds"),
        (["--ready-timeout", "nan"], "nan is not between"),
        (["--profile", "gpu"], "invalid choice: 'gpu'"),
        (["--shared-memory", "yes"], "invalid choice: 'yes'"),
    ],
)
def test_invalid_arguments_are_refused(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        _parser().parse_args([*NEEDED, *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_pod_listens_on_every_address_and_takes_no_shared_memory() -> None:
    serving = command._serving(_parser().parse_args(NEEDED))
    assert (serving.host, serving.profile, serving.shared_memory, serving.tls) == (
        "0.0.0.0",
        "onnx",
        False,
        None,
    )
    assert (serving.grpc_port, serving.metrics_port, serving.exit_timeout) == (8001, 8002, 130.0)


def test_an_authority_alone_is_no_tls() -> None:
    with pytest.raises(SetupError, match="TLS needs a certificate and its key"):
        command._serving(_parser().parse_args([*NEEDED, "--tls-client-ca", "ca.pem"]))


def test_last_words_go_only_where_kubernetes_wants_them(tmp_path: Path) -> None:
    path = tmp_path / "termination-log"
    command._leave_behind(path, "why")
    assert not path.exists()
    path.touch()
    command._leave_behind(path, "why")
    assert path.read_text() == "why"


def test_a_signal_ends_the_wait_of_a_refusal() -> None:
    teller = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    teller.start()
    began = time.monotonic()
    command._wait_for_signal(200.0)
    assert time.monotonic() - began < 150
    teller.join()


def test_before_the_start_it_lives_and_is_not_ready(tmp_path: Path) -> None:
    made = Pod(tmp_path, tmp_path, Options())
    assert made.liveness_problems() == []
    assert made.readiness_problems() == ["The pod is starting."]
    told = {sample.name: sample.value for sample in read_samples(made.page())}
    assert told["lipserve_ready"] == told["lipserve_draining"] == told["lipserve_pending_segments"] == 0
    assert "lipserve_start_seconds" not in told


def test_a_setup_error_appears_in_readiness_and_metrics(tmp_path: Path) -> None:
    made = Pod(tmp_path / "nothing", tmp_path, Options())
    with pytest.raises(SetupError):
        made.start()
    made.stop(force=True)
    assert made.readiness_problems() == [f"There is no model repository at {tmp_path / 'nothing'}."]
    (told,) = [sample for sample in read_samples(made.page()) if sample.name == "lipserve_setup_error"]
    assert (told.labels, told.value) == ({"reason": "setup"}, 1.0)


def test_its_age_is_that_of_the_process() -> None:
    assert _age() == pytest.approx(time.time() - psutil.Process().create_time(), abs=5)
