"""Augmentation of a pair of frames: framing and camera, the same for all its images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.contracts.lipwarp import MOUTH_SIZE
from lipserve.lipwarp.geometry import Points
from lipserve.lipwarp.shapes import Series
from lipserve_training.lipwarp.recipes import Disturbance

Picture = NDArray[np.uint8]

_MIDDLE = np.full(2, (MOUTH_SIZE - 1) / 2)


class View:
    """A random view of one clip.

    Args:
        placement: float64 [2, 3], pixel of the stored mouths -> pixel of the mouth crop.
    """

    def __init__(self, how: Disturbance, placement: Series, rng: np.random.Generator) -> None:
        self._rng = rng
        self._linear, self._shift = _framing(how, rng)
        linear = self._linear @ placement[:, :2]
        shift = self._linear @ placement[:, 2] + self._shift
        self._matrix = np.concatenate([linear, shift[:, None]], 1)
        self._levels = _camera(how, rng)
        self._grey = rng.random() < how.grey
        self._noise = rng.uniform(0, how.noise_levels) if rng.random() < how.noise else 0.0

    def picture(self, mouth: Picture, light: float | NDArray[np.float64] = 0.0) -> Picture:
        """Return the crop uint8 [96, 96, 3] RGB of a stored mouth.

        Args:
            light: added to its levels, 0..1, or to each of RGB.
        """
        size = (MOUTH_SIZE, MOUTH_SIZE)
        cut = cv2.warpAffine(mouth, self._matrix, size, borderMode=cv2.BORDER_REPLICATE)
        x = np.asarray(cv2.LUT(cut, self._levels), np.float32) + np.float32(255) * np.asarray(
            light, np.float32
        )
        if self._grey:
            x = np.repeat(x.mean(-1, keepdims=True), 3, -1)
        if self._noise:
            x = x + np.float32(self._noise) * self._rng.standard_normal(x.shape, np.float32)
        return np.clip(x, 0, 255).astype(np.uint8)

    def points(self, points: Points) -> Points:
        """Return points [..., 2] of the mouth crop as they lie in the pictures.

        They are not renamed where the view is mirrored: contours are closed, and pictures of one view agree.
        """
        return np.asarray(points @ self._linear.T + self._shift, np.float32)


def _framing(how: Disturbance, rng: np.random.Generator) -> tuple[Series, Series]:
    """Return a map of the mouth crop onto itself: linear [2, 2], then shift [2]."""
    angle = np.deg2rad(rng.normal(0, 1) * how.rotation)
    scale, aspect = np.exp(rng.normal(0, 1, 2) * [how.scale, how.aspect])
    shear, shift = rng.normal(0, 1) * how.shear, rng.normal(0, 1, 2) * how.shift
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.array([[scale * aspect, shear], [0, scale]])
    if rng.random() < how.mirror:
        linear[:, 0] *= -1
    return linear, _MIDDLE + shift - linear @ _MIDDLE


def _camera(how: Disturbance, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a camera's answer to each of 256 levels, float32 [1, 256, 3], 0..255 and beyond."""
    gamma, contrast = np.exp(rng.normal(0, 1, 2) * [how.gamma, how.contrast])
    colours, light = np.exp(rng.normal(0, 1, 3) * how.colour), rng.normal(0, 1) * how.light
    middle = rng.uniform(0.3, 0.6)
    level = np.linspace(0, 1, 256)[None, :, None] ** gamma
    return np.asarray(255 * (((level - middle) * contrast + middle) * colours + light), np.float32)
