"""A model whose process dies is back within ten seconds, and the log says so."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from demo import portrait
from lipserve import Client, DubResult, audio
from lipserve.contracts import TierName
from lipserve.errors import ProcessDiedError
from lipserve_server.launcher.processes import alive, stubs
from tests.support.waiting import until

from .conftest import Calls

pytestmark = [pytest.mark.serve, pytest.mark.slow]


ENSEMBLES: tuple[TierName, ...] = ("lipwarp", "wav2lip")


def processes(server: Any, model: str) -> list[int]:
    return [process for process, name in stubs(server.pid).items() if name == model]


def returns(server: Any, model: str, since: float) -> int:
    """Return how often the log says that a model is back, in what was written after `since` bytes."""
    return server.log.read_text()[int(since) :].count(f"The model {model} is back after")


def wait_back(server: Any, model: str, since: int) -> None:
    with InferenceServerClient(server.url) as triton:

        def is_back() -> bool:
            ready = all(triton.is_model_ready(ensemble) for ensemble in ENSEMBLES)
            return ready and returns(server, model, since) > 0

        until(is_back, lambda: f"{model} is back:\n{server.log.read_text()[since:][-3000:]}")


@pytest.mark.parametrize(
    "model", ["face_detector", "lip_renderer", "lipwarp_prepare", "wav2lip_preprocess", "postprocess"]
)
def test_a_killed_process_is_brought_back(own_server: Any, model: str, media: tuple[str, str]) -> None:
    said = len(own_server.log.read_text())
    killed = processes(own_server, model)[0]
    os.kill(killed, signal.SIGKILL)
    wait_back(own_server, model, said)
    assert f"A process of the model {model} died" in own_server.log.read_text()[said:]
    assert killed not in processes(own_server, model)
    with Client(own_server.url, retries=0, timeout=60) as client:
        assert client.prepare(media[0])
        for tier in ENSEMBLES:
            assert client.dub(*media, tier=tier).report.frames == 25
    assert returns(own_server, model, said) == 1, "it was brought back more than once"


def test_a_process_that_lives_but_does_not_answer_is_found_by_its_canary(
    own_server: Any, media: tuple[str, str]
) -> None:
    said = len(own_server.log.read_text())
    (stopped,) = processes(own_server, "face_detector")
    os.kill(stopped, signal.SIGSTOP)
    wait_back(own_server, "face_detector", said)
    assert alive(stopped), "this test is about a process that lives"
    with Client(own_server.url, retries=0, timeout=60) as client:
        assert client.dub(*media).report.frames == 25
    os.kill(stopped, signal.SIGKILL)


def test_a_kill_in_the_middle_is_a_typed_error_that_may_be_retried(
    own_server: Any, speech: Path, tmp_path: Path
) -> None:
    said, long = len(own_server.log.read_text()), tmp_path / "speech.wav"
    long.write_bytes(audio.wav(np.resize(audio.load(speech), 14 * 16000)))  # so that it is seen at work
    under_way = Calls(own_server.url, portrait.clip(14.0, (128, 128)), long)
    under_way.start(2)
    until(lambda: own_server.in_flight("lipwarp_preprocess") == 2, "they are not begun")
    for process in processes(own_server, "lipwarp_preprocess"):
        os.kill(process, signal.SIGKILL)
    outcomes = under_way.wait()
    assert [type(outcome) for outcome in outcomes] == [ProcessDiedError, ProcessDiedError]
    assert all(outcome.retryable for outcome in outcomes)
    wait_back(own_server, "lipwarp_preprocess", said)


def test_a_client_that_retries_does_not_notice(own_server: Any, calls: Callable[[str], Any]) -> None:
    under_way = calls(own_server.url)
    under_way.start(1, retries=8)
    time.sleep(0.15)
    for process in processes(own_server, "lipwarp_preprocess"):
        os.kill(process, signal.SIGKILL)
    (outcome,) = under_way.wait()
    assert isinstance(outcome, DubResult), outcome


def test_a_stage_that_dies_is_waited_for(own_server: Any) -> None:
    faces = np.full((4, 96, 96, 3), 90, np.uint8)
    speech = np.zeros(3200, np.float32)
    with Client(own_server.url, retries=8) as client:
        before = client.generate(faces, speech)
        for process in processes(own_server, "wav2lip_generate"):
            os.kill(process, signal.SIGKILL)
        (health,) = client.health(deep=True)  # the supervisor may have been faster
        failed = {model.name for model in health.models if not model.ok}
        assert failed <= {"wav2lip_generate", "wav2lip"}
        assert health.ok == (not failed)
        results: list[bool] = []
        threads = [
            threading.Thread(
                target=lambda: results.append(np.array_equal(client.generate(faces, speech), before))
            )
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert client.health(deep=True)[0].ok
    assert results == [True] * 3
