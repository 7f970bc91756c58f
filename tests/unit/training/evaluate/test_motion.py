from __future__ import annotations

import numpy as np
import pytest

from lipserve_training import meter
from lipserve_training.evaluate import motion


def mouth(opening: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> np.ndarray:
    return np.stack([opening, *np.zeros((3, len(opening)))], 1)


def talking(frames: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, frames + 4)
    return np.convolve(noise, np.ones(5) / 5, "valid")


def test_the_same_motion_agrees_whatever_its_size_and_place() -> None:
    true = talking(75)
    same = motion.agreement(mouth(0.3 * true + 0.1), mouth(true))
    assert same.best == pytest.approx(1)
    assert same.at_zero == pytest.approx(1)
    assert same.lag == 0


@pytest.mark.parametrize("lag", [-3, 2])
def test_a_late_mouth_has_a_positive_lag(lag: int) -> None:
    course = talking(100)
    late = motion.agreement(mouth(course[10 - lag : 85 - lag]), mouth(course[10:85]))
    assert (late.lag, late.best) == (lag, pytest.approx(1))
    assert late.at_zero < 0.8


def test_other_motion_does_not_agree() -> None:
    assert abs(motion.agreement(mouth(talking(500, 1)), mouth(talking(500, 2))).best) < 0.3


def test_open_on_silence_is_a_share_of_the_range_of_speech() -> None:
    speaking = mouth(np.linspace(0.1, 0.3, 101))  # 5th percentile 0.11, 95th 0.29
    silent = np.full(50, 0.11 + 0.25 * 0.18)
    silent[: motion.SETTLING] = 9  # a mouth may close first
    assert motion.open_on_silence(mouth(silent), speaking) == pytest.approx(0.25)
    assert motion.open_on_silence(mouth(np.full(50, 0.11)), speaking) == pytest.approx(0, abs=1e-9)


def test_wrong_speeches_are_others_and_then_ones_own_turned() -> None:
    own = np.arange(48000, dtype=np.float32)
    others = [np.full(20000, -1, np.float32), np.full(60000, -2, np.float32)]
    wrong = motion.wrong_speeches(own, others)
    assert len(wrong) == motion.WRONG
    assert all(len(speech) == len(own) for speech in wrong)
    assert (wrong[0][:20000] == -1).all()
    assert (wrong[0][20000:] == -2).all()  # goes on with the next one's
    assert (wrong[1] == -2).all()
    turns = [int(speech[0]) for speech in wrong[2:]]
    assert len(set(turns)) == len(turns)
    assert all(8000 <= turn <= 40000 for turn in turns)
    assert len(motion.wrong_speeches(own, others * 15)) == 30


def test_the_right_speech_ranks_above_wrong_ones_for_lips_that_follow_it() -> None:
    rng = np.random.default_rng(4)
    speeches = [loud(rng) for _ in range(12)]
    lips = [loudness(speech) for speech in speeches]
    fitted = meter.fit(list(zip(lips[:6], speeches[:6], strict=True)))
    wrong = motion.wrong_speeches(speeches[6], speeches[7:])
    auc, score = motion.rank(fitted, lips[6], speeches[6], wrong)
    assert auc == 1
    assert score > 0.6
    frozen = np.repeat(lips[6][:1], len(lips[6]), 0)
    assert motion.rank(fitted, frozen, speeches[6], wrong) == (0.5, 0)  # all tie


def loud(rng: np.random.Generator) -> np.ndarray:
    """Noise of three seconds whose loudness changes eight times a second."""
    gains = np.repeat(rng.uniform(0.01, 0.3, 24), 2000)
    return (rng.normal(0, 1, 48000) * gains).astype(np.float32)


def loudness(speech: np.ndarray) -> np.ndarray:
    power = np.sqrt((speech.astype(np.float64).reshape(75, 640) ** 2).mean(1))
    return np.repeat(power[:, None], 4, 1)


def test_to_and_fro_turns_at_both_ends() -> None:
    assert motion.to_and_fro(4, 10).tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]
    assert motion.to_and_fro(60, 50).tolist() == list(range(50))
