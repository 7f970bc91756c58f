"""The fixed mask of the generated region, and the pictures around it.

1 (255) keeps the source, 0 is generated: the opposite of what inpainting models of Stable Diffusion take.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.contracts.form import PIXELS_PER_LATENT

Pixels = NDArray[np.float32]
Faces = NDArray[np.uint8]

_SIDE = 256
# The region's outline, (first row, first and last column) of each stretch of equal rows: two towers over the
# cheeks, with a notch between them for the eyes and the bridge of the nose, then a chin.
_TOWERS = (95, ((9, 77), (178, 246)))
_BELOW = (
    (128, 9, 247), (135, 9, 246), (136, 10, 246), (149, 10, 245), (150, 11, 245), (163, 11, 244),
    (164, 12, 244), (170, 12, 243), (171, 13, 243), (172, 13, 242), (173, 14, 242), (174, 14, 241),
    (175, 15, 241), (176, 15, 240), (177, 16, 240), (178, 16, 239), (179, 17, 238), (180, 18, 238),
    (181, 18, 237), (182, 19, 236), (184, 20, 235), (185, 21, 234), (187, 22, 233), (188, 22, 232),
    (189, 23, 232), (190, 24, 231), (191, 25, 230), (192, 26, 230), (193, 26, 229), (194, 27, 228),
    (195, 28, 228), (196, 29, 227), (197, 30, 226), (198, 31, 225), (199, 32, 224), (200, 33, 223),
    (201, 34, 223), (202, 34, 222), (203, 35, 221), (204, 36, 220), (205, 37, 219), (206, 38, 218),
    (207, 39, 217), (208, 40, 216), (209, 42, 215), (210, 43, 214), (211, 44, 213), (212, 45, 212),
    (213, 47, 211), (214, 48, 210), (215, 49, 208), (216, 51, 207), (217, 52, 206), (218, 54, 204),
    (219, 56, 203), (220, 57, 202), (221, 59, 200), (222, 60, 199), (223, 62, 197), (224, 64, 196),
    (225, 66, 194), (226, 68, 192), (227, 70, 191), (228, 72, 189), (229, 74, 187), (230, 76, 185),
    (231, 78, 183), (232, 80, 180), (233, 82, 178), (234, 85, 175), (235, 87, 173), (236, 90, 171),
    (237, 93, 168), (238, 95, 166), (239, 99, 164), (240, 104, 160), (241, 108, 156), (242, 131, 152),
    (243, 0, -1),
)  # fmt: skip


@cache
def mask(resolution: int) -> NDArray[np.uint8]:
    """Return the mask uint8 [S, S], 255 where the source is kept; do not write into it.

    At 512 it is the one of 256 enlarged by OpenCV's Lanczos filter, with its soft, ringing edge: what the
    public 512 weights were trained with.
    """
    small = np.full((_SIDE, _SIDE), 255, np.uint8)
    top, towers = _TOWERS
    for left, right in towers:
        small[top : _BELOW[0][0], left : right + 1] = 0
    for (row, left, right), (end, _, _) in pairwise(_BELOW):
        small[row:end, left : right + 1] = 0
    if resolution == _SIDE:
        return small
    return np.asarray(cv2.resize(small, (resolution, resolution), interpolation=cv2.INTER_LANCZOS4), np.uint8)


@cache
def latent_mask(resolution: int) -> Pixels:
    """Return the mask of the latents, float32 [h, w], 0..1: every eighth pixel of the picture's."""
    step = PIXELS_PER_LATENT
    return np.asarray(mask(resolution)[::step, ::step] / np.float32(255), np.float32)


def pixels(faces: Faces) -> Pixels:
    """Return faces uint8 [F, S, S, 3] as float32 [F, 3, S, S] in -1..1."""
    planes = np.ascontiguousarray(faces.transpose(0, 3, 1, 2))
    return planes / np.float32(127.5) - np.float32(1)


def masked(pixels: Pixels, resolution: int) -> Pixels:
    """Return pictures float32 [F, 3, S, S] in -1..1 with the region to be generated at 0, a middle grey."""
    return pixels * _weights(resolution)


def compose(decoded: Pixels, pixels: Pixels, resolution: int) -> Faces:
    """Return decoded pictures inside the mask, the source's own outside: uint8 [F, S, S, 3] RGB.

    They are mixed in FP32, then clamped and rounded. The reference mixes in FP16, keeps the fractions until
    the face is back in the frame, and cuts them off there: its pictures are half a level darker on average.

    Args:
        decoded: float32 [F, 3, S, S], not clamped.
        pixels: float32 [F, 3, S, S] in -1..1, the source.
    """
    keep = _weights(resolution)
    mixed = decoded * (1 - keep) + pixels * keep
    levels = np.rint(np.clip((mixed + 1) * np.float32(127.5), 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(0, 2, 3, 1))


@cache
def _weights(resolution: int) -> Pixels:
    return np.asarray(mask(resolution) / np.float32(255), np.float32)
