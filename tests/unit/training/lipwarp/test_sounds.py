from __future__ import annotations

import numpy as np
import pytest

from lipserve_training.lipwarp import sounds


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("number", range(8))
def test_every_kind_is_finite_and_no_louder_than_it_may_be(number: int) -> None:
    for seed in range(4):
        made = sounds.sound(number, 16000, rng(seed))
        assert (made.dtype, made.shape) == (np.float32, (16000,))
        assert np.isfinite(made).all()
        peak = float(np.abs(made).max())
        assert peak <= 1e-5 if number == 0 else 1e-3 * 0.99 <= peak <= 10**-0.5


def test_equal_seeds_give_equal_sounds_and_others_others() -> None:
    assert np.array_equal(sounds.sound(5, 8000, rng()), sounds.sound(5, 8000, rng()))
    assert not np.array_equal(sounds.sound(5, 8000, rng()), sounds.sound(5, 8000, rng(4)))


def test_coloured_noise_falls_above_its_corner() -> None:
    spectrum = np.abs(np.fft.rfft(sounds.coloured(160000, 1.0, 100, rng())))
    low, middle, high = (spectrum[at * 10 : at * 20].mean() for at in (40, 400, 4000))
    assert low / middle == pytest.approx(10**0.5 * 10**0.25, rel=0.6)
    assert middle / high == pytest.approx(10, rel=0.1)
