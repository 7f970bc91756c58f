"""Cues against a real server: who is driven when, what stays as it was, and lengths that follow the video."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from demo import portrait
from lipserve import Client, Cue, audio
from lipserve.errors import CueError
from lipserve.files.picture import Colour
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve.media.mark import Mark
from lipserve_client._samples import SPEECH

pytestmark = pytest.mark.serve

SIDE = 160
LEFT, RIGHT = f"{SIDE // 2},{SIDE // 2}", f"{SIDE + SIDE // 2},{SIDE // 2}"


@pytest.fixture(scope="module")
def panel() -> bytes:
    """Three seconds of two people side by side, the right one half a second ahead."""
    frames = portrait.frames(3.6, (SIDE, SIDE))
    file = io.BytesIO()
    with VideoWriter(file, 2 * SIDE, SIDE, Fraction(25), Colour(), crf=12) as writer:
        for left, right in zip(frames[:75], frames[12:87], strict=True):
            writer.write(portrait.picture(np.concatenate([left, right], axis=1)))
    return file.getvalue()


@pytest.fixture(scope="module")
def said() -> bytes:
    return audio.wav(audio.load(SPEECH)[: 3 * 16_000])


def luma(video: bytes) -> NDArray[np.int16]:
    return np.stack([picture.y.astype(np.int16) for picture in decode.read(video, probe.probe(video))])


def changes(video: bytes, result: bytes) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Return the largest change of the left and of the right half in each frame."""
    apart = np.abs(luma(video) - luma(result))
    return apart[:, :, :SIDE].max((1, 2)), apart[:, :, SIDE:].max((1, 2))


def test_a_mark_is_in_every_picture_whoever_is_driven(client: Client, panel: bytes, said: bytes) -> None:
    cues = [Cue(start=0.4, end=1.6, face=LEFT, speech=said), Cue(start=1.2, end=2.0, face=RIGHT, speech=said)]
    marked = client.dub(panel, cues=cues, crf=0, preset="ultrafast", mark="AI")
    mark = Mark.of("AI", 2 * SIDE, SIDE)
    assert mark is not None
    assert marked.report.copied_frames == 0
    assert marked.report.driven == [(10, 49)]
    apart = np.abs(luma(panel) - luma(marked.content))
    assert apart[:, mark.top :, mark.left :].mean((1, 2)).min() > 10
    assert apart[:10, : mark.top].max() == 0


def test_each_face_is_driven_in_its_cues_and_nobody_elsewhere(
    client: Client, panel: bytes, said: bytes
) -> None:
    cues = [
        Cue(start=0.4, end=1.6, face=LEFT, speech=said),
        Cue(start=1.2, end=2.4, face=RIGHT, speech=said, offset=0.5),
    ]
    result = client.dub(panel, cues=cues, crf=0, preset="ultrafast")
    assert (result.report.frames, result.report.untouched_frames) == (75, 25)
    left, right = changes(panel, result.content)
    assert left[12:38].min() > 8
    assert right[32:58].min() > 8
    assert not left[:10].any()
    assert not right[:30].any()
    assert not left[40:].any()
    assert not right[60:].any()


def test_two_cues_of_one_face_at_a_time_are_told(client: Client, panel: bytes, said: bytes) -> None:
    other = f"{SIDE // 2 + 9},{SIDE // 2 + 4}"
    with pytest.raises(CueError, match="Cues 1 and 2 drive the same face"):
        client.dub(panel, cues=[Cue(end=1, face=LEFT, speech=said), Cue(end=1, face=other, speech=said)])


def test_after_the_speech_the_video_is_as_it_was(client: Client, panel: bytes, said: bytes) -> None:
    short = audio.wav(audio.load(said)[:16_000])
    result = client.dub(panel, short, on_length_mismatch="keep", face=LEFT, crf=0, preset="ultrafast")
    left, right = changes(panel, result.content)
    assert (result.report.frames, result.report.untouched_frames) == (75, 50)
    assert left[2:23].min() > 8
    assert not left[25:].any()
    assert not right.any()


def test_a_changed_speed_shows_the_whole_video(client: Client, panel: bytes, said: bytes) -> None:
    short = audio.wav(audio.load(said)[:24_000])
    result = client.dub(panel, short, on_length_mismatch="remap", face=LEFT, crf=0, preset="ultrafast")
    shown = luma(result.content)[:, :, SIDE:]
    assert len(shown) == 38
    nearest = [int(np.abs(luma(panel)[:, :, SIDE:] - frame).max((1, 2)).argmin()) for frame in shown[::6]]
    assert nearest == [(2 * number + 1) * 75 // 76 for number in range(0, 38, 6)]
