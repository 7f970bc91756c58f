"""A visible mark is read in every picture, and changes nothing beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lipserve.errors import OptionsError
from lipserve.files.picture import Colour, Picture
from lipserve.media.mark import Mark
from lipserve.options import Options


def plain(width: int, height: int, level: int, colour: Colour) -> Picture:
    half = ((height + 1) // 2, (width + 1) // 2)
    planes = (
        np.full(size, value, np.uint8) for size, value in (((height, width), level), (half, 90), (half, 170))
    )
    return Picture(*planes, colour)


def luminance(levels: float, full_range: bool) -> float:
    """Return the relative luminance of a grey (WCAG 2.2)."""
    value = levels / 255 if full_range else (levels - 16) / 219
    return float(((max(value, 0) + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("level", [16, 128, 235])
@pytest.mark.parametrize("size", [(1280, 720), (321, 241), (96, 96)])
def test_words_contrast_over_any_picture_and_the_rest_stays(
    size: tuple[int, int], level: int, full_range: bool
) -> None:
    colour = replace(Colour(), full_range=full_range)
    picture, before = (plain(*size, level, colour) for _ in range(2))
    mark = Mark.of("AI", *size)
    assert mark is not None
    mark.draw(picture)
    height, width = mark.keep.shape
    inside = np.s_[mark.top : mark.top + height, mark.left : mark.left + width]
    drawn = picture.y[inside]
    bright, dark = luminance(float(drawn.max()), full_range), luminance(float(np.median(drawn)), full_range)
    assert (bright + 0.05) / (dark + 0.05) >= 4.5
    assert mark.left > size[0] / 2
    assert mark.top > size[1] / 2
    for one, other, step in ((picture.y, before.y, 1), (picture.u, before.u, 2), (picture.v, before.v, 2)):
        changed = np.argwhere(one != other)
        assert len(changed)
        assert (changed.min(0) * step >= (mark.top, mark.left)).all()
        assert (changed.max(0) * step < (mark.top + height, mark.left + width)).all()


@pytest.mark.parametrize("text", ["", " AI", "AI ", "x" * 25, "a\tb", "KI für alle"])
def test_words_are_a_few_characters_of_ascii(text: str) -> None:
    assert Options(mark="A").mark == "A"
    assert Options(mark="x" * 24).mark == "x" * 24
    with pytest.raises(OptionsError, match="mark"):
        Options(mark=text)


def test_longer_words_get_smaller_until_they_cannot_be_read() -> None:
    short, long = (Mark.of(text, 320, 240) for text in ("AI", "made with AI, 2026, by us"[:24]))
    assert short is not None
    assert long is not None
    assert long.keep.shape[1] <= 320
    assert long.keep.shape[0] <= short.keep.shape[0]
    with pytest.raises(OptionsError, match="cannot be read in a picture of 48x240"):
        Mark.of("made with AI, 2026, by us"[:24], 48, 240)
    assert Mark.of(None, 48, 240) is None
