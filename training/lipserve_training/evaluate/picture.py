"""How good the generated picture is inside the pasted mask, and whether the mask's border shows.

All is measured on crops of the face at the picture's own resolution (at most MAX_SIDE), whose place is that
of the generator's crop. Each figure of the generated face stands beside that of the ceiling, the true crop at
96 pixels pasted back: no generator of 96 pixels can pass it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipserve import align
from lipserve.media.picture import Picture
from lipserve.wav2lip import geometry
from lipserve_training import losses
from lipserve_training.evaluate.clips import Clip

MAX_SIDE = 512  # pixels
SECTORS = 24  # of the border
_RING = 0.03  # of the crop's side: width of the rings on both sides of the feather
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Image = NDArray[np.uint8]
Luma = NDArray[np.float32]


class Quality(NamedTuple):
    """Means over a clip.

    Attributes:
        psnr: dB, of RGB, the squared error weighted by the soft mask and averaged over the clip.
        ssim, l1: weighted by the soft mask; l1 in levels of 255.
        sharpness: variance of the Laplacian of luma where the mask is above one half, levels squared.
        border_step: levels of 255, see `border_excess`.
    """

    psnr: float
    ssim: float
    l1: float
    sharpness: float
    border_step: float


def side_of(clip: Clip) -> int:
    """Return the side of the crops that a clip is measured on: as many pixels as the picture has there."""
    return int(np.clip(round(clip.face_side()), 32, MAX_SIDE))


def crops(clip: Clip, pictures: Iterable[Picture], side: int) -> Iterator[Image]:
    """Yield the face in pictures of a clip, or in copies of them, uint8 [S, S, 3] RGB."""
    for picture, transform in zip(pictures, clip.placed(side), strict=True):
        yield align.crop(picture, transform, side)


def quality(pairs: Iterable[tuple[Image, Image]]) -> Quality:
    """Return how good crops are: pairs of one shown and its truth, all of one size."""
    rows = np.array([_frame(shown, truth) for shown, truth in pairs])
    error, likeness, l1, sharp, step = rows.mean(0)
    psnr = 10 * np.log10(255**2 / max(error, 1e-6))
    return Quality(float(psnr), float(likeness), float(l1), float(sharp), float(step))


def sharpness(luma: Luma, inside: NDArray[np.bool_]) -> float:
    """Return the variance of the Laplacian of luma [S, S] where `inside`."""
    return float(cv2.Laplacian(luma, cv2.CV_32F, ksize=1)[inside].var())


def border_excess(shown: Luma, truth: Luma) -> float:
    """Return the mean step across the mask's border beyond the source's own, levels of 255.

    The border is the feather. A sector's step is the difference of the mean luma of a ring just inside it,
    where the face is all generated, and of one just outside, where nothing was touched. Where the shown
    picture's step is larger than the truth's, the excess counts, else nothing does: the mean over 24 sectors.
    A box that shows, or another colour, is such a step; a cheek that ends there is one in both.

    Args:
        shown, truth: float32 [S, S].
    """
    inner, outer = _rings(len(shown))
    step, own = (np.abs(inner.means(luma) - outer.means(luma)) for luma in (shown, truth))
    excess = step - own
    return float(np.maximum(excess, 0).mean())


def _frame(shown: Image, truth: Image) -> tuple[float, float, float, float, float]:
    """Return squared error, SSIM, L1, sharpness and border step of one frame."""
    mask = geometry.soft_mask(len(truth))
    share = mask / mask.sum()
    difference = shown.astype(np.float32) - truth
    luma, true_luma = shown @ _LUMA, truth @ _LUMA
    box = _box(len(truth))
    likeness = losses.ssim(_tensor(shown[box]), _tensor(truth[box])).mean(1)[0].numpy()
    return (
        float(((difference**2).mean(2) * share).sum()),
        float((likeness * share[box]).sum()),
        float((np.abs(difference).mean(2) * share).sum()),
        sharpness(luma, mask > 0.5),
        border_excess(luma, true_luma),
    )


def _tensor(image: Image) -> Tensor:
    return torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1)[None]) / 255


@cache
def _box(side: int) -> tuple[slice, slice]:
    """Return the rows and columns that the mask covers, and what SSIM looks at around them."""
    covered = np.argwhere(geometry.soft_mask(side) > 0)
    low, high = covered.min(0) - losses.SSIM_WINDOW // 2, covered.max(0) + 1 + losses.SSIM_WINDOW // 2
    return slice(max(0, int(low[0])), int(high[0])), slice(max(0, int(low[1])), int(high[1]))


@dataclass(frozen=True)
class _Ring:
    """Pixels on one side of the feather: their places in the flattened crop, and their sectors."""

    places: NDArray[np.intp]
    sectors: NDArray[np.int64]

    def means(self, luma: Luma) -> NDArray[np.float64]:
        """Return the mean luma of each sector [24]."""
        sums = np.bincount(self.sectors, luma.reshape(-1)[self.places], SECTORS)
        return np.asarray(sums / np.bincount(self.sectors, minlength=SECTORS))


@cache
def _rings(side: int) -> tuple[_Ring, _Ring]:
    """Return the rings just inside and just outside the feather of a crop."""
    mask = geometry.soft_mask(side)
    reach = 2 * max(2, round(_RING * side)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    whole, touched = (mask > 0.999).astype(np.uint8), (mask > 0).astype(np.uint8)
    inner = whole - cv2.erode(whole, kernel)
    outer = cv2.dilate(touched, kernel) - touched
    rows, columns = np.nonzero(whole)
    y, x = np.mgrid[:side, :side]
    angle = np.arctan2(y - rows.mean(), x - columns.mean())
    sector = np.floor((angle + np.pi) / (2 * np.pi) * SECTORS).astype(np.int64) % SECTORS
    places = [np.flatnonzero(ring) for ring in (inner, outer)]
    first, second = (_Ring(place, sector.reshape(-1)[place]) for place in places)
    return first, second
