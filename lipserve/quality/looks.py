"""Looks of a mouth in aligned face crops: sharpness beside its surroundings, and flicker.

Face crops have the place of `lipserve.align`'s unit crop; only their luma matters here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve import align
from lipserve.align import Image, Transforms
from lipserve.files.picture import Picture

Luma = NDArray[np.float32]

FACE_SIDE = 192  # pixels of the crops that `lipserve check` looks at
MOUTH = (0.32, 0.56, 0.68, 0.82)  # of the face crop: x0, y0, x1, y1 of lips, closed or open
LOWER = (0.18, 0.42, 0.82, 0.94)  # ... and of cheeks, nose and chin around them
_LEAST = 0.05  # levels of detail: a picture without any has no ratio


@dataclass(frozen=True)
class Face:
    """The geometry of crops of whole faces, as luma: uint8 [S, S, 1]."""

    size: int = FACE_SIDE

    def transforms(
        self,
        landmarks: NDArray[np.float64],
        runs: NDArray[np.int64],
        pixel_aspect: Fraction,
        extent: tuple[int, int],
    ) -> Transforms:
        """Return picture pixel -> crop pixel, float32 [F, 2, 3], smoothed over time."""
        exact = align.estimate(landmarks.astype(np.float32))
        return align.scale(align.smooth(exact, runs), self.size, pixel_aspect)

    def crop(self, picture: Picture, transform: Transforms) -> Image:
        """Return the crop that `transform` [2, 3] cuts."""
        inverse = align.invert(transform[None])[0]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (self.size, self.size)
        cut = cv2.warpAffine(picture.y, inverse, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return cast(Image, cut)[..., None]


def mouth(image: Luma) -> Luma:
    """Return the part [h, w] of the luma [S, S] of a face crop that shows the lips, closed or open."""
    return _part(image, MOUTH)


def _part(image: Luma, box: tuple[float, float, float, float]) -> Luma:
    x0, y0, x1, y1 = (round(edge * len(image)) for edge in box)
    return image[y0:y1, x0:x1]


def sharpness(shown: Luma, mask: NDArray[np.float32]) -> float:
    """Return the variance of the Laplacian of luma [S, S] where the mask is above one half."""
    return float(cv2.Laplacian(shown, cv2.CV_32F, ksize=1)[mask > 0.5].var())


def sharpness_beside(face: Luma) -> float | None:
    """Return the detail of the mouth over that of cheeks, nose and chin around it, in a face crop [S, S].

    Detail is the deviation of the Laplacian of luma. Nose and jaw have strong edges, so a natural picture may
    lie below 1 as well as above it: compare with the same person. None: there is no detail around it.
    """
    return detail_beside(_part(face, LOWER), len(face))


def detail_beside(lower: Luma, size: int) -> float | None:
    """Return `sharpness_beside` of the part of a face crop of side `size` that LOWER names."""
    edges = cv2.Laplacian(lower, cv2.CV_32F, ksize=1)
    x0, y0, x1, y1 = (round(edge * size) for edge in MOUTH)
    left, top = (round(edge * size) for edge in LOWER[:2])
    inside = edges[y0 - top : y1 - top, x0 - left : x1 - left]
    count = edges.size - inside.size
    mean = (float(edges.sum()) - float(inside.sum())) / count
    power = (float((edges * edges).sum()) - float((inside * inside).sum())) / count
    other = max(power - mean * mean, 0.0) ** 0.5
    return float(inside.std()) / other if other > _LEAST else None


def second_differences(mouths: Sequence[Luma]) -> NDArray[np.float64]:
    """Return the mean second difference in time around each of F mouths [h, w] but the first and the last
    [F - 2], levels of 255."""
    shown = np.stack(mouths)
    return np.asarray(np.abs(shown[2:] - 2 * shown[1:-1] + shown[:-2]).mean((1, 2)), np.float64)


def flickers(images: Sequence[Luma]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the second differences [F - 2] of mouth and surroundings in F face crops [S, S]."""
    if len(images) < 3:
        return np.zeros(0), np.zeros(0)
    whole = second_differences([_part(image, LOWER) for image in images])
    inner = second_differences([mouth(image) for image in images])
    areas = [_part(images[0], box).size for box in (LOWER, MOUTH)]
    return inner, np.maximum(whole * areas[0] - inner * areas[1], 0) / (areas[0] - areas[1])


def flicker(mouths: Sequence[Luma], joined: NDArray[np.bool_]) -> float:
    """Return the mean second difference in time of F mouths [h, w], levels of 255.

    Args:
        joined: bool [F], whether a frame of the source follows the one before it there: across a jump of the
            source nothing counts.
    """
    return float(second_differences(mouths)[joined[1:-1] & joined[2:]].mean())
