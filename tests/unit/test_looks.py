"""Tints of mouths: what tells one person's from another's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.looks import SOMEBODY_ELSE, tint, tints_apart

PALE, DARK = (205, 160, 140), (92, 60, 48)


def mouth(skin: tuple[int, int, int], opened: int, light: float = 1.0, seed: int = 0) -> NDArray[np.uint8]:
    """Return a crop [96, 96, 3] of skin with lips, which are open by so many pixels."""
    noise = np.random.default_rng(seed).normal(0, 4, (96, 96, 3))
    crop = np.broadcast_to(np.array(skin, float), (96, 96, 3)).copy()
    crop[40:58, 26:70] = np.array(skin) * (0.85, 0.6, 0.62)
    crop[49 - opened // 2 : 49 + opened // 2, 34:62] = (40, 22, 24)
    return np.clip(crop * light + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "other", [mouth(PALE, 14), mouth(PALE, 0, light=0.93, seed=1)], ids=["open", "darker"]
)
def test_the_mouth_of_one_person_is_near(other: NDArray[np.uint8]) -> None:
    assert tints_apart(tint(mouth(PALE, 2)), tint(other)) < SOMEBODY_ELSE


def test_the_mouth_of_another_person_is_far() -> None:
    assert tints_apart(tint(mouth(PALE, 2)), tint(mouth(DARK, 2))) > 2 * SOMEBODY_ELSE
    assert tints_apart(tint(mouth(PALE, 2)), tint(mouth(PALE, 2))) == pytest.approx(0, abs=1e-3)
