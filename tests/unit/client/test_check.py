"""The measurement of a video as a client asks for it: what it sends, and answers that it refuses."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from demo import portrait
from lipserve import AsyncClient, Client, MockTransport, audio
from lipserve.errors import InternalError, VideoError
from lipserve.files.picture import Colour, Picture
from lipserve.media import probe
from lipserve.media.encode import VideoWriter
from lipserve.options import CheckOptions, parse
from lipserve_client._client import drive
from lipserve_client._transports import Answer, Call

SPEECH = audio.wav(0.1 * np.sin(np.arange(16_000 * 20) / 9).astype(np.float32))


def long_film(frames: int = 520) -> bytes:
    file = io.BytesIO()
    with VideoWriter(file, 64, 48, Fraction(25), Colour(), preset="ultrafast") as writer:
        for number in range(frames):
            grey = np.full((24, 32), 128, np.uint8)
            writer.write(Picture(np.full((48, 64), number % 250, np.uint8), grey, grey, Colour()))
    return file.getvalue()


def empty(call: Call, **changes: Any) -> Answer:
    """Return the answer for a piece that shows nobody."""
    options = parse(CheckOptions, bytes(call.inputs["OPTIONS"]))
    told = {
        "first": options.first, "frames": options.frames, "cuts": [], "asked_first": 0, "asked": [],
        "silent": [], "runs": [], **changes,
    }  # fmt: skip
    return {"MEASURES": json.dumps(told).encode()}


def test_a_long_video_travels_in_pieces_that_overlap() -> None:
    transport = MockTransport(empty)
    progress: list[tuple[int, int]] = []
    with Client(transport=transport) as client:
        result = client.check(long_film(), SPEECH, on_progress=lambda *done: progress.append(done))
    asked = [parse(CheckOptions, bytes(call.inputs["OPTIONS"])) for call in transport.calls]
    assert sorted((options.first, options.frames) for options in asked) == [(0, 272), (264, 256)]
    assert {call.model for call in transport.calls} == {"lipwarp_check"}
    for call, options in zip(transport.calls, asked, strict=True):
        assert options.total_samples == 320_000
        assert len(audio.load(bytes(call.inputs["AUDIO"]))) < 320_000
        assert probe.probe(bytes(call.inputs["VIDEO"])).width == 64
    assert (result.frames, result.faces, len(result.faceless)) == (520, (), 1)
    assert (result.faceless[0].begin, result.faceless[0].end) == (0, 20.8)
    assert progress[-1] == (520, 520)


def test_a_silent_video_is_measured_without_speech() -> None:
    transport = MockTransport(empty)
    result = drive(AsyncClient(transport=transport).check(portrait.clip(1.0, (64, 64))))
    assert "AUDIO" not in transport.calls[0].inputs
    assert not result.has_speech


@pytest.mark.parametrize(
    "changes",
    [{"first": 5}, {"frames": 3}, {"runs": [{}]}, {"cuts": [10**9]}, {"asked": [[1, 2, 3]]}, {"more": 1}],
)
def test_answers_that_cannot_be_are_a_fault_of_the_server(changes: dict[str, Any]) -> None:
    transport = MockTransport(lambda call: empty(call, **changes))
    with Client(transport=transport, retries=0) as client, pytest.raises(InternalError, match="measure"):
        client.check(portrait.clip(1.0, (64, 64)))


def test_what_is_no_video_is_refused_before_anything_is_sent() -> None:
    transport = MockTransport(empty)
    with Client(transport=transport) as client, pytest.raises(VideoError):
        client.check(b"no video")
    assert transport.calls == []
