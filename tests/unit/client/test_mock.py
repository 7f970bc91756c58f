"""`MockTransport`: a client without a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipserve import Client, MockTransport, NoFaceError, UnavailableError, audio
from lipserve.contracts import SAMPLE_RATE
from lipserve.media import probe


def speech(seconds: float) -> bytes:
    return audio.wav(np.zeros(round(seconds * SAMPLE_RATE), np.float32))


@pytest.mark.parametrize("tier", ["wav2lip", "lipwarp"])
def test_a_video_comes_back_as_it_is_under_the_speech(clip: Callable[..., bytes], tier: str) -> None:
    mock = MockTransport()
    with Client(transport=mock) as client:
        result = client.dub(clip(frames=30), speech(0.8), tier=tier)
    info = probe.probe(result.content)
    assert (info.frames, info.width, info.height, info.has_audio) == (20, 128, 96, True)
    assert result.report.weights == "none: a mock"
    assert [call.model for call in mock.calls] == [tier]
    assert result.path is None


def test_the_result_is_saved_whole(clip: Callable[..., bytes], tmp_path: Path) -> None:
    with Client(transport=MockTransport(), provenance=False) as client:
        kept = client.dub(clip(), speech(0.4))
        written = client.dub(clip(), speech(0.4), output=tmp_path / "out.mp4")
    assert kept.save(tmp_path / "kept.mp4") == tmp_path / "kept.mp4"
    assert (tmp_path / "kept.mp4").read_bytes() == kept.content == written.content
    assert written.path == tmp_path / "out.mp4"


def test_a_long_clip_comes_in_segments(clip: Callable[..., bytes]) -> None:
    mock = MockTransport()
    with Client(transport=mock) as client:
        result = client.dub(clip(frames=60), speech(21.0), tier="wav2lip")
    assert result.report.segments == len(mock.calls) == 2
    assert probe.probe(result.content).frames == 525


def test_a_handler_may_fail_as_a_server_does(clip: Callable[..., bytes]) -> None:
    def refuse(call: object) -> dict[str, bytes]:
        raise NoFaceError("No face.", "Show one.")

    def busy(call: object) -> dict[str, bytes]:
        raise UnavailableError("Starting.", "Wait.")

    with Client(transport=MockTransport(refuse)) as client, pytest.raises(NoFaceError):
        client.dub(clip(), speech(0.4))
    mock = MockTransport(busy)
    with Client(transport=mock, retries=0) as client, pytest.raises(UnavailableError):
        client.dub(clip(), speech(0.4))
    assert len(mock.calls) == 1
