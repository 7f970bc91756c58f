"""Who speaks: made lips that follow a made speech, in turns, beside lips that rest or move on their own."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.quality.speaking import Trace, Turn, turns
from lipserve.segments import Span

FPS = Fraction(25)
Array = NDArray[np.float64]


def babble(seed: int, frames: int) -> Array:
    """Return lip measures [F, 4] that move about as a speech's do."""
    noise = np.random.default_rng(seed).normal(0, 1, (frames + 8, 4))
    smooth = np.apply_along_axis(lambda column: np.convolve(column, np.hanning(7), "valid"), 0, noise)
    return np.asarray(0.05 * smooth[:frames])


def trace(number: int, lips: Array, shot: int = 0, first: int = 0) -> Trace:
    box = np.array([200.0 * number, 50, 200 * number + 100, 150])
    return Trace(number, shot, np.arange(first, first + len(lips)), lips, np.tile(box, (len(lips), 1)))


def right(found: list[Turn], truth: NDArray[np.int64]) -> float:
    said = np.full(len(truth), -1)
    for turn in found:
        said[turn.span.first : turn.span.stop] = turn.face
    return float((said == truth).mean())


def taking_turns(frames: int = 300, length: int = 60) -> tuple[Array, NDArray[np.int64]]:
    return babble(1, frames), np.arange(frames) // length % 2 + 1


@pytest.mark.parametrize("lag", [-2, 0, 3])
def test_who_follows_the_speech_speaks_and_who_rests_does_not(lag: int) -> None:
    asked, truth = taking_turns()
    follows = np.roll(asked, lag, 0) + 0.3 * babble(2, 300)
    rest = 0.002 * babble(3, 300)
    traces = [trace(one, np.where((truth == one)[:, None], follows, rest)) for one in (1, 2)]
    found = turns(traces, asked, [0, 300], FPS)
    assert right(found, truth) >= 0.95
    assert [turn.face for turn in found] == [1, 2, 1, 2, 1]
    assert (found[1].x, found[1].y) == (450, 100)


def test_lips_that_move_on_their_own_do_not_speak() -> None:
    asked, truth = taking_turns()
    traces = [
        trace(one, np.where((truth == one)[:, None], asked + 0.5 * babble(9, 300), babble(4 + one, 300)))
        for one in (1, 2)
    ]
    assert right(turns(traces, asked, [0, 300], FPS), truth) >= 0.9


def test_a_voice_whose_mouth_is_not_in_the_picture_is_nobodys() -> None:
    asked, _ = taking_turns()
    assert turns([trace(1, 0.002 * babble(3, 300))], asked, [0, 300], FPS) == []
    assert turns([], asked, [0, 300], FPS) == []


def test_no_speech_has_no_speaker() -> None:
    nothing = np.full((100, 4), np.nan)
    assert turns([trace(1, babble(1, 100))], nothing, [0, 100], FPS) == []


def test_a_pause_keeps_the_word_where_that_is_asked() -> None:
    asked = babble(1, 200)
    asked[80:120] = asked[79]
    one, two = asked.copy(), np.full((200, 4), 0.3)
    plain = turns([trace(1, one), trace(2, two)], asked, [0, 200], FPS)
    held = turns([trace(1, one), trace(2, two)], asked, [0, 200], FPS, held=True)
    assert {turn.face for turn in plain} == {1}
    assert [(turn.face, turn.span) for turn in held] == [(1, Span(0, 200))]


def test_each_shot_is_told_apart() -> None:
    asked = babble(1, 200)
    found = turns(
        [trace(1, asked[:100]), trace(2, asked[100:], shot=1, first=100)], asked, [0, 100, 200], FPS
    )
    assert [(turn.face, turn.span) for turn in found] == [(1, Span(0, 100)), (2, Span(100, 100))]


def test_a_face_that_is_not_seen_does_not_speak() -> None:
    asked = babble(1, 200)
    found = turns([trace(1, asked[60:], first=60)], asked, [0, 200], FPS)
    assert found[0].span.first >= 60
    assert right(found, np.where(np.arange(200) < 60, -1, 1)) > 0.97
