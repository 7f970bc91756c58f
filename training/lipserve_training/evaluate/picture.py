"""Image quality inside the mask, visibility of the mask's border, flicker.

All is measured on crops of the face at the picture's own resolution (at most MAX_SIDE), whose place is that
of the tiers' face crop, before any encoder. The head of a driven picture is that of half a clip away: it is
compared with the true picture of its moment in sharpness, in error and in how it changes, and with the
picture that was driven, whose other pixels it has, in colour and at the border.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve import align
from lipserve.files.picture import Picture
from lipserve_training.evaluate.clips import Clip

MAX_SIDE = 512  # pixels
SECTORS = 24  # of the border
_RING = 0.03  # of the crop's side: width of the rings on both sides of the feather
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Image = NDArray[np.uint8]
Luma = NDArray[np.float32]
Mask = NDArray[np.float32]


def side_of(clip: Clip) -> int:
    """Return the side of the crops that a clip is measured on: as many pixels as the picture has there."""
    return int(np.clip(round(clip.face_side()), 32, MAX_SIDE))


def crops(clip: Clip, pictures: Iterable[Picture], order: NDArray[np.int64], side: int) -> Iterator[Image]:
    """Yield the face in pictures of a clip, or in copies of them, uint8 [S, S, 3] RGB.

    Args:
        order: int64 [F], which of the clip's pictures each of them is.
    """
    for picture, transform in zip(pictures, clip.placed(side)[order], strict=True):
        yield align.crop(picture, transform, side)


def luma(image: Image) -> Luma:
    """Return the luma [S, S] of an image [S, S, 3] RGB, levels of 255."""
    return np.asarray(image @ _LUMA)


def squared_error(shown: Image, truth: Image, mask: Mask) -> float:
    """Return the mean squared error of RGB [S, S, 3] under a mask [S, S], levels squared."""
    difference = shown.astype(np.float32) - truth
    return float(((difference**2).mean(2) * mask).sum() / mask.sum())


def psnr(errors: Sequence[float]) -> float:
    """Return the PSNR, dB, of the mean of the squared errors of a clip's frames."""
    return float(10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-6)))


def chroma(picture: Picture, transform: align.Transforms, mask: Mask) -> NDArray[np.float64]:
    """Return the mean samples of U and V [2] under the mask [S, S] of a face crop, levels of 255.

    Args:
        transform: float32 [2, 3], pixel of the picture -> pixel of the crop.
    """
    size = (len(mask), len(mask))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    back = align.to_chroma(align.invert(transform[None])[0])
    planes = [cv2.warpAffine(plane, back, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
              for plane in (picture.u, picture.v)]  # fmt: skip
    return np.array([float((plane * mask).sum() / mask.sum()) for plane in planes])


class Border:
    """The border of a mask float32 [S, S]: its feather.

    A sector's step is the difference of the mean luma of a ring just inside the feather, where the face is
    all generated, and of one just outside, where nothing was touched.
    """

    def __init__(self, mask: Mask) -> None:
        reach = 2 * max(2, round(_RING * len(mask))) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        whole, touched = (mask > 0.999).astype(np.uint8), (mask > 0).astype(np.uint8)
        rows, columns = np.nonzero(whole)
        y, x = np.mgrid[: len(mask), : len(mask)]
        angle = np.arctan2(y - rows.mean(), x - columns.mean())
        sectors = np.floor((angle + np.pi) / (2 * np.pi) * SECTORS).astype(np.int64) % SECTORS
        self._inner = _Ring(whole - cv2.erode(whole, kernel), sectors)
        self._outer = _Ring(cv2.dilate(touched, kernel) - touched, sectors)
        self._seen = (self._inner.counts > 0) & (self._outer.counts > 0)

    def excess(self, shown: Luma, *natural: Luma) -> float:
        """Return the mean step across the border beyond what natural pictures have there, levels of 255.

        Where the step of `shown` [S, S] is larger than those of all `natural` ones, the excess counts, else
        nothing does: the mean over the sectors that the crop shows both sides of. A box that shows, or
        another colour, is such a step; a cheek that ends there is one in both.
        """
        own = np.max([self._steps(image) for image in natural], axis=0)
        return float(np.maximum(self._steps(shown) - own, 0)[self._seen].mean())

    def _steps(self, image: Luma) -> NDArray[np.float64]:
        return np.asarray(np.abs(self._inner.means(image) - self._outer.means(image)))


class _Ring:
    """Pixels on one side of the feather, by their sectors."""

    def __init__(self, ring: NDArray[Any], sectors: NDArray[np.int64]) -> None:
        self._places = np.flatnonzero(ring)
        self._sectors = sectors.reshape(-1)[self._places]
        self.counts = np.bincount(self._sectors, minlength=SECTORS)

    def means(self, image: Luma) -> NDArray[np.float64]:
        """Return the mean luma of each sector [24], 0 where it has no pixels."""
        sums = np.bincount(self._sectors, image.reshape(-1)[self._places], SECTORS)
        return np.asarray(sums / np.maximum(self.counts, 1))
