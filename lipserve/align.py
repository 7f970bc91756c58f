"""Face landmarks to transforms, transforms to crops: what the tiers' geometries share.

A crop is square, from a similarity transform in square pixels (of a video with oblong ones it is the
similarity after the pixels are made square). Transforms are float32 [2, 3] and map source pixels to crop
pixels, both counted at pixel centres, as OpenCV's warps do.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.files.picture import Picture
from lipserve.media.yuv import to_rgb

Transforms = NDArray[np.float32]
Image = NDArray[np.uint8]
_Float = TypeVar("_Float", np.float32, np.float64)

# Points of the face mesh that hardly move while a person speaks (eye corners, bridge and wings of the nose,
# forehead; the jaw and the lips have no say), and where they lie in a crop of side 1: the mean of 99 tracked
# faces of ten GRID speakers, made symmetric. The mesh then reaches from 0.04 (forehead) to 0.90 (chin of a
# closed mouth; an open one stays inside), the lips meet at 0.67.
_TEMPLATE = {
    33: (0.2787, 0.3180),
    133: (0.4133, 0.3248),
    362: (0.5867, 0.3248),
    263: (0.7213, 0.3180),
    168: (0.5000, 0.2951),
    6: (0.5000, 0.3336),
    197: (0.5000, 0.3701),
    98: (0.4181, 0.5452),
    327: (0.5819, 0.5452),
    10: (0.5000, 0.0400),
}
RIGID_POINTS = tuple(_TEMPLATE)
TEMPLATE = np.array(list(_TEMPLATE.values()))

SMOOTHING_FRAMES = 1.5  # standard deviation of the temporal low-pass, in frames; centred, so nothing lags
SMOOTHING_RADIUS = 4
JITTER = (0.004, 0.015)  # of the crop's side: below it is jitter, above it is motion


def estimate(landmarks: NDArray[np.float32]) -> Transforms:
    """Return the similarity [N, 2, 3] that takes the mesh [N, 468, 2+] into the unit crop, least squares.

    Closed form of Umeyama (1991) for two dimensions; a face is never mirrored.
    """
    points = landmarks[:, RIGID_POINTS, :2].astype(np.float64)
    centre, target = points.mean(1), TEMPLATE.mean(0)
    p, q = points - centre[:, None], TEMPLATE - target
    power = (p**2).sum((1, 2))
    cos = (p * q).sum((1, 2)) / power
    sin = (p[..., 0] * q[:, 1] - p[..., 1] * q[:, 0]).sum(1) / power
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    shift = target - (linear @ centre[..., None])[..., 0]
    transforms: Transforms = np.concatenate([linear, shift[..., None]], -1).astype(np.float32)
    return transforms


def smooth(transforms: Transforms, runs: NDArray[np.int64]) -> Transforms:
    """Return the transforms [N, 2, 3] with the landmarks' jitter taken out.

    The crop's place in the picture passes a centred Gaussian low-pass over time: nothing lags, and a steady
    motion stays as it is. Where the filter would move the crop by more than jitter does (a nod, a
    handheld camera), the face itself is followed.

    Args:
        runs: int64 [N], a label that changes where the filter must not look across (cuts, gaps).
    """
    inverse = invert(transforms).astype(np.float64)
    centre = inverse[:, :, :2] @ np.array([0.5, 0.5]) + inverse[:, :, 2]
    exact = np.concatenate([inverse[:, :, 0], centre], -1)  # side * cos, side * sin, x, y
    low = _low_pass(exact, runs)
    side = np.linalg.norm(exact[:, :2], axis=1)
    moved = _low_pass(np.linalg.norm(low - exact, axis=1, keepdims=True) / side[:, None], runs)
    excess = np.clip((moved - JITTER[0]) / (JITTER[1] - JITTER[0]), 0, 1)
    cos, sin, x, y = (low + excess * (exact - low)).T
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    shift = np.stack([x, y], -1) - linear @ np.array([0.5, 0.5])
    return invert(np.concatenate([linear, shift[..., None]], -1))


def _low_pass(values: NDArray[np.float64], runs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return values [N, C] after the Gaussian, which stays within a run and is cut short at its ends."""
    total, weight = np.zeros_like(values), np.zeros((len(values), 1))
    index = np.arange(len(values))
    for step in range(-SMOOTHING_RADIUS, SMOOTHING_RADIUS + 1):
        other = np.clip(index + step, 0, len(values) - 1)
        tap = np.exp(-0.5 * (step / SMOOTHING_FRAMES) ** 2) * (
            (runs[other] == runs) & (other == index + step)
        )
        total += tap[:, None] * values[other]
        weight += tap[:, None]
    return total / weight


def scale(transforms: Transforms, size: int, pixel_aspect: Fraction = Fraction(1)) -> Transforms:
    """Return unit-crop transforms [N, 2, 3] of square pixels as ones of a picture's own pixels and `size`.

    A unit crop covers the area of its pixels, so its edge lies half a pixel outside the first centre.
    """
    out = transforms.astype(np.float64) * size
    out[:, :, 2] -= 0.5
    out[:, :, 0] *= float(pixel_aspect)
    return out.astype(np.float32)


def crop(picture: Picture, transform: Transforms, size: int) -> Image:
    """Return the crop uint8 [S, S, 3] RGB that `transform` [2, 3] cuts; only its own pixels are converted."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    inverse: Transforms = invert(transform[None])[0]
    chroma = to_chroma(inverse)
    y = cv2.warpAffine(picture.y, inverse, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    u = cv2.warpAffine(picture.u, chroma, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    v = cv2.warpAffine(picture.v, chroma, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return to_rgb(cast(Image, y), cast(Image, u), cast(Image, v), picture.colour)


def invert(transforms: NDArray[Any]) -> Transforms:
    """Return the transforms [N, 2, 3] the other way round."""
    (a, b, x), (c, d, y) = transforms.astype(np.float64).transpose(1, 2, 0)
    linear = np.array([[d, -b], [-c, a]]).transpose(2, 0, 1) / (a * d - b * c)[:, None, None]
    shift = -linear @ np.stack([x, y], -1)[..., None]
    inverse: Transforms = np.concatenate([linear, shift], -1).astype(np.float32)
    return inverse


def to_chroma(inverse: NDArray[_Float]) -> NDArray[_Float]:
    """Return crop pixel -> sample of a 4:2:0 plane [2, 3], from crop pixel -> pixel.

    The samples lie left, between two rows (MPEG-2's siting).
    """
    out = inverse * inverse.dtype.type(0.5)
    out[1, 2] -= 0.25
    return out


def subsampled(transform: Transforms) -> Transforms:
    """Return sample of a 4:2:0 plane -> crop pixel, from pixel -> crop pixel.

    Sample x, y is pixel 2 x, 2 y + 1/2: the way back from `to_chroma`.
    """
    out: Transforms = transform * np.float32(2)
    out[:, 2] = transform[:, 2] + np.float32(0.5) * transform[:, 1]
    return out
