from __future__ import annotations

import numpy as np
import pytest

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


def test_the_amplitude_is_that_of_the_ranges() -> None:
    true = talking(75)
    assert motion.amplitude(mouth(0.6 * true + 1), mouth(true)) == pytest.approx(0.6)
    assert motion.amplitude(mouth(true), mouth(0.5 * true)) == pytest.approx(2)
    spike = 0.3 * true
    spike[40] += 100  # one frame is no range
    assert motion.amplitude(mouth(spike), mouth(true)) == pytest.approx(0.3, rel=0.1)


def test_open_on_silence_is_a_share_of_the_range_of_speech() -> None:
    speaking = mouth(np.linspace(0.1, 0.3, 101))  # 5th percentile 0.11, 95th 0.29
    silent = np.full(50, 0.128)
    silent[: motion.SETTLING] = 0.3  # a mouth may take a moment to close
    assert motion.open_on_silence(mouth(silent), speaking) == pytest.approx(0.1)
    assert motion.open_on_silence(mouth(np.full(50, 0.11)), speaking) == pytest.approx(0, abs=1e-9)


def test_wrong_speeches_are_evenly_spread_others_that_go_on_with_the_next() -> None:
    others = [np.full(20000 if number else 60000, number, np.float32) for number in range(9)]
    wrong = motion.wrong_speeches(48000, others, 3)
    assert [len(speech) for speech in wrong] == [48000] * 3
    assert set(wrong[0]) == {0}
    assert [wrong[1][at] for at in (0, 20000, 40000)] == [4, 5, 6]
    assert [wrong[2][at] for at in (0, 20000)] == [8, 0]  # round the end
    assert len(motion.wrong_speeches(48000, others[:2], 5)) == 2
    assert motion.wrong_speeches(48000, [], 5) == []


def test_the_loudest_stretch_is_taken() -> None:
    speech = np.zeros(16000, np.float32)
    speech[5000:6280] = [0.5, -0.5] * 640
    np.testing.assert_array_equal(motion.loudest(speech, 2), speech[5000:6280])
    again = motion.loudest(speech[5000:5400], 1)
    assert len(again) == 640
    assert np.abs(again).min() == 0.5
    assert (motion.loudest(np.zeros(1, np.float32), 25) == np.zeros(16000)).all()
