"""A visible mark: words on a dark plate in the lower right corner of a picture, in its own samples."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.errors import OptionsError
from lipserve.files.picture import Picture, Plane

Weights = NDArray[np.float32]

_HEIGHT = 0.035  # of a capital letter, of the picture's shorter side ...
_LEAST = 10  # ... and pixels at least
_SMALLEST = 6  # pixels: what is smaller cannot be read after encoding
_DARK = 0.65  # opacity of the plate: white words on it have a contrast of 4.5 to 1 over a white picture, too
_FINE = 4  # words are drawn so many times larger, then reduced: their edges are smooth
_FONT = cv2.FONT_HERSHEY_DUPLEX
_FONT_HEIGHT = 21  # pixels of a capital letter at scale 1


@dataclass(frozen=True)
class Mark:
    """Words at their place in the pictures of one video.

    Attributes:
        top, left: of the plate, even numbers of pixels.
        keep: float32 [h, w], the share of the picture's luma that stays, 0..1; h and w are even.
        words: float32 [h, w], how far a word covers the plate, 0..1.
    """

    top: int
    left: int
    keep: Weights
    words: Weights

    @classmethod
    def of(cls, text: str | None, width: int, height: int) -> Mark | None:
        """Return the mark for pictures of that size, or None where there is no text.

        Raises:
            OptionsError: the picture is too small for it.
        """
        if text is None:
            return None
        side = min(width, height)
        margin = max(2, side // 50) // 2 * 2
        widest, capital = width - 2 * margin, max(_LEAST, round(_HEIGHT * side))
        words = _drawn(text, capital)
        if words.shape[1] > widest:
            capital = capital * widest // words.shape[1]
            words = _drawn(text, max(1, capital))
        down, across = words.shape
        if capital < _SMALLEST or across > widest or down > height - 2 * margin:
            raise OptionsError(
                f"mark={text!r} cannot be read in a picture of {width}x{height}.",
                "Give fewer characters, or leave the mark out.",
            )
        top, left = (height - margin - down) // 2 * 2, (width - margin - across) // 2 * 2
        return cls(top, left, (1 - _DARK) * (1 - words), words)

    def draw(self, picture: Picture) -> None:
        """Draw the mark into a picture, in place. Only the samples under the plate change."""
        black, white = (0, 255) if picture.colour.full_range else (16, 235)
        height, width = self.keep.shape
        shade = white * self.words + black * (1 - self.keep - self.words)
        _blend(picture.y[self.top : self.top + height, self.left : self.left + width], self.keep, shade)
        keep = self.keep.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
        for plane in (picture.u, picture.v):
            top, left = self.top // 2, self.left // 2
            _blend(plane[top : top + height // 2, left : left + width // 2], keep, 128 * (1 - keep))


def _blend(samples: Plane, keep: Weights, shade: Weights) -> None:
    samples[:] = np.rint(samples * keep + shade)


def _drawn(text: str, capital: int) -> Weights:
    """Return the coverage [h, w] of words whose capital letters have that height, with room around them."""
    scale, room = _FINE * capital / _FONT_HEIGHT, _FINE * max(2, capital // 2)
    thickness = max(1, round(1.6 * scale))
    (width, height), below = cv2.getTextSize(text, _FONT, scale, thickness)
    across, down = (-(-(size + 2 * room) // (2 * _FINE)) * 2 for size in (width, height + below // 2))
    canvas = np.zeros((down * _FINE, across * _FINE), np.uint8)
    cv2.putText(canvas, text, (room, room + height), _FONT, scale, (255,), thickness)
    small = cv2.resize(canvas, (across, down), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)
