"""A cut after which another person is where the dubbed one was: nobody gets somebody else's mouth."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest

from demo import portrait
from lipserve import Client, audio
from lipserve.files.picture import Colour
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve_client._samples import SPEECH

pytestmark = pytest.mark.serve

SIDE, CUT = 160, 40


@pytest.fixture(scope="module")
def film() -> bytes:
    """Three seconds of a face that has other colours, and another background, after a cut."""
    frames = portrait.frames(3.0, (SIDE, SIDE))
    file = io.BytesIO()
    with VideoWriter(file, SIDE, SIDE, Fraction(25), Colour(), crf=12) as writer:
        for number, frame in enumerate(frames):
            shown = frame if number < CUT else (frame[:, ::-1, [1, 0, 2]] // 2)
            writer.write(portrait.picture(np.ascontiguousarray(shown)))
    return file.getvalue()


def test_another_person_is_left_alone_and_told(client: Client, film: bytes) -> None:
    said = audio.wav(audio.load(SPEECH)[: 3 * 16_000])
    result = client.dub(film, said, crf=0, preset="ultrafast")
    before, after = (
        np.stack([picture.y.astype(np.int16) for picture in decode.read(video, probe.probe(video))])
        for video in (film, result.content)
    )
    changes = np.abs(after - before).max((1, 2))
    assert changes[: CUT - 3].min() > 8
    assert not changes[CUT:].any()
    assert any("another person is seen" in warning for warning in result.report.warnings)
    assert result.report.driven == [(0, CUT - 1)]


def test_both_are_driven_where_all_are_asked_for(client: Client, film: bytes) -> None:
    said = audio.wav(audio.load(SPEECH)[: 3 * 16_000])
    result = client.dub(film, said, face="all", crf=0, preset="ultrafast")
    assert result.report.driven == [(0, 74)]
    assert not result.report.warnings
    before, after = (
        next(decode.read(video, probe.probe(video), CUT + 15, 1)) for video in (film, result.content)
    )
    # The second person's colours are the portrait's, the other way round: no mouth of the first is in them.
    changed = np.abs(after.y.astype(int) - before.y)[::2, ::2] > 8
    assert changed.sum() > 20
    assert np.abs(after.v.astype(int) - before.v)[changed].mean() < 8
