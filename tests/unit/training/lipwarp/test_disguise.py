from __future__ import annotations

import numpy as np
import pytest

from lipserve_training.lipwarp.disguise import BLOCK, Disguise, disguises
from lipserve_training.lipwarp.recipes import Hearing

FRAME = 640
PLAIN = {"loudest": 0, "quietest": 0, "noise": 0, "tilt": 0}


def speech(frames: int) -> np.ndarray:
    """Every sample tells where it is."""
    return np.linspace(0.01, 0.9, frames * FRAME).astype(np.float32)


def heard(how: dict[str, float], begin: int = 0, end: int = 60, frames: int = 100) -> list[Disguise]:
    return list(disguises(speech(frames), begin, end, Hearing(**how), np.random.default_rng(2)))


def test_the_first_is_the_piece_itself_at_the_block_s_beginning() -> None:
    first = heard({}, 25, 60)[0]
    assert first.row == 0
    np.testing.assert_array_equal(first.block[: 35 * FRAME], speech(100)[25 * FRAME : 60 * FRAME])
    assert not first.block[35 * FRAME :].any()
    np.testing.assert_array_equal(first.places, np.arange(25, 60))


def test_the_others_lie_anywhere_with_what_was_before_them() -> None:
    own = speech(100)
    rows = set()
    for one in heard({**PLAIN, "variants": 12, "speeds": 0}, 25, 60)[1:]:
        at = one.row * 320
        rows.add(one.row)
        assert one.block.shape == (BLOCK,)
        np.testing.assert_array_equal(one.block[at : at + 35 * FRAME], own[25 * FRAME : 60 * FRAME])
        before = min(at, 25 * FRAME)
        np.testing.assert_array_equal(one.block[at - before : at], own[25 * FRAME - before : 25 * FRAME])
        assert not one.block[: at - before].any()
        assert not one.block[at + 35 * FRAME :].any()
    assert len(rows) > 8


@pytest.mark.parametrize("speed", [0.0, 0.25])
def test_a_slower_piece_shows_what_is_heard_then(speed: float) -> None:
    own = speech(100)
    for one in heard({**PLAIN, "variants": 1, "speeds": 6, "speed": speed}, 20, 70)[1:]:
        middles = (one.row * 320 + (np.arange(len(one.places)) + 0.5) * FRAME).astype(int)
        expected = np.interp((one.places + 0.5) * FRAME, np.arange(len(own)), own)
        np.testing.assert_allclose(one.block[middles], expected, atol=0.002)
        assert (len(one.places) == 50) == (speed == 0)
        assert 20 <= one.places.min() <= one.places.max() <= 69


def test_noise_is_as_far_below_the_speech_as_asked_for() -> None:
    how = {**PLAIN, "variants": 30, "speeds": 0, "noise": 1, "snr": (20, 20)}
    own = speech(100)[: 60 * FRAME]
    for one in heard(how)[1:]:
        at, noise = one.row * 320, one.block.copy()
        noise[at : at + len(own)] -= own
        assert np.log10(own.std() / noise.std()) * 20 == pytest.approx(20, abs=0.1)


def test_gain_stays_within_its_limits() -> None:
    how = {**PLAIN, "variants": 40, "speeds": 0, "loudest": -10, "quietest": -20}
    gains = [one.block[one.row * 320 + 59 * FRAME] / speech(100)[59 * FRAME] for one in heard(how)[1:]]
    assert 0.1 <= min(gains) < 0.13
    assert 0.28 < max(gains) <= 10**-0.5 + 1e-6


def test_a_piece_that_fills_the_block_stays_within_it() -> None:
    for one in heard({"variants": 2, "speeds": 8, "speed": 0.25}, 0, 190, 190):
        assert one.row + 2 * len(one.places) <= 400
        assert np.isfinite(one.block).all()
        assert np.abs(one.block).max() <= 1
