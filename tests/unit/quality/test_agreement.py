"""Agreement of lips and speech, from sums that grow part by part."""

from __future__ import annotations

import numpy as np
import pytest

from lipserve import verdict
from lipserve.quality import agreement
from lipserve.quality.agreement import Sums
from lipserve.quality.lips import Series, correlation, shifted
from lipserve.verdict import Verdict

FRAMES = 200


def speaking(seed: int = 0, frames: int = FRAMES + 40) -> Series:
    """Lip measures [F, 4] that wander as those of speech do, a few times a second."""
    noise = np.random.default_rng(seed).normal(0, 0.05, (frames + 4, 4))
    return np.asarray(sum(noise[i : i + frames] for i in range(5)))


@pytest.mark.parametrize("lag", [-9, -1, 0, 4])
def test_lips_that_follow_by_some_frames_have_that_lag(lag: int) -> None:
    asked = speaking()
    lips = asked[20 - lag : 20 - lag + FRAMES] + np.array([0.1, 0.3, 0.9, 0.5])
    found = agreement.judge(lips, asked[20 : 20 + FRAMES], 10)
    assert found == Verdict(pytest.approx(1.0), lag, found.at_zero)
    assert found.believed(FRAMES) == lag
    assert (found.at_zero > 0.99) == (lag == 0)


def test_the_score_is_the_mean_correlation_of_the_measures() -> None:
    asked, noise = speaking(frames=FRAMES), speaking(1, FRAMES)
    lips = asked + noise * [0.5, 1, 2, 4]
    sums = Sums(3, lips[0])
    sums.add(lips, np.arange(FRAMES), asked, 0)
    for place, lag in enumerate(range(-3, 4)):
        a, b = shifted(lips, asked, lag)
        expected = np.mean([correlation(a[:, i], b[:, i]) for i in range(4)])
        assert sums.curve()[place] == pytest.approx(expected, abs=1e-9)


def test_parts_give_what_the_whole_gives() -> None:
    asked, lips = speaking(2, FRAMES), speaking(3, FRAMES) + 5
    whole, parts = Sums(6, lips[0]), Sums(6, lips[0])
    whole.add(lips, np.arange(100, 100 + FRAMES), asked, 100)
    for begin in range(0, FRAMES, 30):
        part = parts.like()
        low = max(0, begin - 6)
        own = np.arange(begin, min(begin + 30, FRAMES))
        part.add(lips[own], 100 + own, asked[low : begin + 36], 100 + low)
        parts = parts + part
    assert parts.count == FRAMES
    np.testing.assert_allclose(parts.curve(), whole.curve(), atol=1e-9)


def test_noise_agrees_no_more_than_chance_does() -> None:
    scores = [agreement.judge(speaking(i), speaking(90 + i), 10) for i in range(40)]
    assert max(abs(score.at_zero) for score in scores) < verdict.least(FRAMES)
    assert {score.believed(FRAMES) for score in scores} == {0}


def test_a_speech_that_asks_for_nothing_agrees_with_nothing() -> None:
    assert agreement.judge(speaking(), np.full((FRAMES + 40, 4), 0.3)) == Verdict(0.0, 0, 0.0)
    assert agreement.judge(np.ones((FRAMES, 4)), speaking(frames=FRAMES)) == Verdict(0.0, 0, 0.0)


@pytest.mark.parametrize(("frames", "score"), [(300, 0.2), (75, 0.4), (1200, 0.1)])
def test_short_clips_need_more(frames: int, score: float) -> None:
    assert verdict.least(frames) == pytest.approx(score)
    assert verdict.least(frames, -1.0) == -1.0


def test_another_offset_is_believed_only_where_it_is_clearly_better() -> None:
    assert Verdict(0.6, -6, 0.2).believed(100) == -6
    assert Verdict(0.6, -6, 0.55).believed(100) == 0  # hardly better than none
    assert Verdict(0.4, -6, 0.0).believed(100) == 0  # chance reaches that
