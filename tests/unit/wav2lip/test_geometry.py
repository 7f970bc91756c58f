from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lipserve import align
from lipserve.files.picture import Colour, Picture
from lipserve.wav2lip import geometry
from lipserve.wav2lip.paste import region
from tests.support.pictures import face_at, textured


def pasted(picture: Picture, *arguments: Any) -> Picture:
    """Return a copy of the picture with a face pasted in."""
    result = Picture(picture.y.copy(), picture.u.copy(), picture.v.copy(), picture.colour)
    geometry.Similarity(96).paste(result, *arguments)
    return result


@pytest.mark.parametrize("colour", [Colour(), Colour("bt601", True, "smpte170m", "smpte170m")])
@pytest.mark.parametrize("size", [(200, 121), (333, 250)])
def test_a_paste_touches_only_its_region_and_brings_the_crop_back(
    colour: Colour, size: tuple[int, int]
) -> None:
    picture = textured(*size, colour)
    transform = align.scale(align.estimate(face_at(0.2, 90, 60, 10)), 96)[0]
    new = 255 - align.crop(picture, transform, 96)
    result = pasted(picture, new, transform)
    x0, y0, x1, y1 = region(transform, geometry.soft_mask(96), *size)
    changed = result.y != picture.y
    assert changed[y0:y1, x0:x1].mean() > 0.3
    changed[y0:y1, x0:x1] = False
    assert not changed.any()
    assert np.abs(align.crop(result, transform, 96)[60:76, 36:60].astype(int) - new[60:76, 36:60]).mean() < 4


def test_identity_paste_is_nearly_invisible_and_weight_zero_is_exact() -> None:
    picture = textured(300, 300)
    transform = align.scale(align.estimate(face_at(0.1, 140, 80, 60)), 96)[0]
    crop = align.crop(picture, transform, 96)
    result = pasted(picture, crop, transform)
    error = (result.y.astype(float) - picture.y)[result.y != picture.y]
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 40
    untouched = pasted(picture, 255 - crop, transform, 0.0)
    for plane, source in zip(
        (untouched.y, untouched.u, untouched.v), (picture.y, picture.u, picture.v), strict=True
    ):
        np.testing.assert_array_equal(plane, source)


def test_a_face_past_the_border_is_pasted_where_it_is_seen() -> None:
    picture = textured(160, 160)
    transform = align.scale(align.estimate(face_at(0, 120, -60, 90)), 96)[0]
    result = pasted(picture, np.full((96, 96, 3), 255, np.uint8), transform)
    assert (result.y[:80] == picture.y[:80]).all()
    assert (result.y != picture.y).any()
    gone = align.scale(align.estimate(face_at(0, 50, -500, 0)), 96)[0]
    np.testing.assert_array_equal(pasted(picture, np.zeros((96, 96, 3), np.uint8), gone).y, picture.y)


def test_the_mask_ends_inside_the_crop() -> None:
    mask = geometry.soft_mask(96)
    assert mask.max() == 1.0
    assert mask[64, 48] == 1.0  # where the lips meet
    assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) == 0.0
    assert mask[:36].max() == 0.0  # eyes stay the source's own
