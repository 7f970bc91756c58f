"""Detail of moved pixels: what interpolation took from a sharp picture is given back."""

from __future__ import annotations

import math

import cv2
import numpy as np

from lipserve.files.picture import Plane

_NATURAL = 0.06  # of the detail: so much less may be of other lips than those that were there ...
_RETURNED = 0.7  # ... and of the rest so much is given back
_MOST = 0.5  # times the detail is added
_LEAST = 0.02  # less is not seen
_GAIN = 0.41  # by how much the deviation of the Laplacian grows with the detail that is added
_DEVIATION = 0.8  # pixels of the Gaussian above which detail begins
_SMOOTH = 0.1  # levels: the deviation of a picture that has no detail
_MARGIN = 0.15  # of each side: what lies within is under the mask


def returned(moved: Plane, before: Plane) -> Plane:
    """Return moved luma [h, w], as sharp as the picture that was there [h, w], or nearly so.

    An unsharp mask, as strong as the deviation of the Laplacian (sharpness, as in `lipserve.quality.looks`)
    says that detail is missing. What lost nothing stays as it is.
    """
    lost = _detail(before) / max(_detail(moved), _SMOOTH) - 1
    share = min(_RETURNED / _GAIN * (lost - _NATURAL), _MOST)
    if share < _LEAST:
        return moved
    smooth = cv2.GaussianBlur(moved, (3, 3), _DEVIATION)
    return np.asarray(cv2.addWeighted(moved, 1 + share, smooth, -share, 0), np.uint8)


def _detail(luma: Plane) -> float:
    """Return the root mean square of the Laplacian in the middle of a plane, levels."""
    down, across = (round(_MARGIN * side) for side in luma.shape)
    middle = luma[down : luma.shape[0] - down, across : luma.shape[1] - across]
    power = float(cv2.norm(cv2.Laplacian(middle, cv2.CV_16S, ksize=1), cv2.NORM_L2SQR))
    return math.sqrt(power / max(middle.size, 1))
