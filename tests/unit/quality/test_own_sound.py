"""Which requests are worth hearing what their source said."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from lipserve.quality.own_sound import worth
from tests.unit.quality.test_judging import INFO


@pytest.mark.parametrize(
    ("frames", "size", "moved", "painted"),
    [
        (124, (1280, 720), False, False),  # shorter than 5 s
        (125, (1280, 720), True, True),
        (250, (360, 288), True, False),  # 26 megapixels
        (250, (640, 360), True, True),  # 58
        (500, (360, 288), True, True),  # 52
    ],
)
def test_what_paints_hears_its_source_beside_enough_pixels_alone(
    frames: int, size: tuple[int, int], moved: bool, painted: bool
) -> None:
    info = replace(INFO, width=size[0], height=size[1], fps=Fraction(25))
    assert worth(frames, info, paints=False) is moved
    assert worth(frames, info, paints=True) is painted
