from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipserve_training.lipwarp.recipes import Disturbance
from lipserve_training.lipwarp.view import View

STILL = Disturbance(**dict.fromkeys(Disturbance.model_fields, 0))
PLACEMENT = np.array([[0.5, 0, -8.0], [0, 0.5, -10.0]])


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def stored() -> np.ndarray:
    """A smooth picture, twice as dense as the mouth crop and larger."""
    coarse = rng(0).integers(40, 200, (14, 14, 3), np.uint8)
    return cv2.resize(coarse, (240, 240), interpolation=cv2.INTER_CUBIC)


def test_a_view_without_strength_is_the_mouth_crop() -> None:
    view = View(STILL, PLACEMENT, rng())
    expected = cv2.warpAffine(stored(), PLACEMENT, (96, 96), borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(view.picture(stored()).astype(int) - expected).max() <= 1
    points = rng(1).uniform(0, 96, (133, 2)).astype(np.float32)
    np.testing.assert_allclose(view.points(points), points, atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_points_stay_on_what_they_mark(seed: int) -> None:
    """A bright spot is where its point is said to be, mirrored or not."""
    view = View(STILL.model_copy(update={**FRAMED, "mirror": 0.5}), PLACEMENT, rng(seed))
    spot = np.array([40.0, 60.0])
    x, y = np.round((spot - PLACEMENT[:, 2]) / 0.5).astype(int)
    dark = np.zeros((240, 240, 3), np.uint8)
    cv2.circle(dark, (x, y), 4, (255, 255, 255), -1)
    seen = view.picture(dark)[..., 0].astype(float)
    rows, columns = np.indices(seen.shape)
    middle = np.array([(columns * seen).sum(), (rows * seen).sum()]) / seen.sum()
    np.testing.assert_allclose(middle, view.points(spot.astype(np.float32)), atol=0.3)


FRAMED = {"rotation": 8, "scale": 0.1, "aspect": 0.1, "shear": 0.05, "shift": 3}


def test_all_pictures_of_a_view_are_alike_and_light_is_added() -> None:
    view = View(Disturbance(noise=0, grey=0), PLACEMENT, rng(5))
    assert np.array_equal(view.picture(stored()), view.picture(stored()))
    lighter = view.picture(stored(), 0.1).astype(int) - view.picture(stored())
    assert np.median(lighter) == pytest.approx(25.5, abs=1)


def test_grey_has_no_colour_and_noise_is_as_strong_as_asked_for() -> None:
    grey = View(STILL.model_copy(update={"grey": 1}), PLACEMENT, rng()).picture(stored())
    assert np.ptp(grey.astype(int), axis=-1).max() == 0
    noisy = View(STILL.model_copy(update={"noise": 1, "noise_levels": 8}), PLACEMENT, rng())
    plain = View(STILL, PLACEMENT, rng()).picture(stored())
    assert 0.3 < (noisy.picture(stored()).astype(int) - plain).std() <= 8.3
