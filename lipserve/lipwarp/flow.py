"""From moved mesh points to a flow: where in the source each pixel of the wanted picture is taken from."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.contracts.lipwarp import FLOW_SIZE, MOUTH_SIZE
from lipserve.lipwarp.geometry import Points
from lipserve.lipwarp.points import INNER, OUTER

REACH = 6.0  # pixels of the mouth crop: the standard deviation of a point's influence
_NO_MAP = np.empty(0, np.float32)  # both coordinates are in the first map
STILL = 0.05  # weight of the rest of the picture, which stays where it is

Flow = NDArray[np.float32]
"""float32 [..., G, G, 2]: x and y in pixels of the mouth crop, to be added to a pixel's own place."""


def point_flow(wanted: Points, source: Points, size: int = FLOW_SIZE) -> Flow:
    """Return the backward flow [F, G, G, 2] that takes the source's points [F, P, 2] to the wanted ones.

    A normalised sum of Gaussians around the wanted points. They are separable, so it is two products of
    matrices a frame.
    """
    centres = (np.arange(size, dtype=np.float32) + 0.5) * (MOUTH_SIZE / size) - 0.5
    near = np.exp(
        -0.5 / REACH**2 * (centres[:, None, None, None] - wanted.transpose(1, 0, 2)) ** 2
    )  # [G, P, F, 2]
    columns, rows = near[..., 0].transpose(2, 1, 0), near[..., 1].transpose(2, 0, 1)  # [F, P, G], [F, G, P]
    total = rows @ columns + np.float32(STILL)
    moved = (source - wanted).astype(np.float32)
    flow = [rows @ (moved[:, :, axis, None] * columns) / total for axis in (0, 1)]
    return np.asarray(np.stack(flow, -1), np.float32)


def grown(flow: Flow, size: int) -> Flow:
    """Return one flow [G, G, 2] on a finer grid [S, S, 2]; its vectors stay in pixels of the mouth crop."""
    return np.asarray(cv2.resize(flow, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def warped(image: NDArray[np.uint8], flow: Flow) -> NDArray[np.uint8]:
    """Return a crop [S, S, 3] moved by a flow [G, G, 2], bilinear, its border held."""
    size = image.shape[0]
    places = grown(flow, size) + _own_places(size)
    moved = cv2.remap(image, places, _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def lip_masks(points: Points) -> NDArray[np.uint8]:
    """Return the masks uint8 [S, S, 2] inside the inner and the outer contour of MOVED points [133, 2]."""
    masks = [_filled(points[contour]) for contour in (INNER, OUTER)]
    return np.stack(masks, -1)


def _filled(contour: Points) -> NDArray[np.uint8]:
    """Return a polygon [P, 2], drawn at four times its density and averaged: its border is soft."""
    canvas = np.zeros((4 * MOUTH_SIZE, 4 * MOUTH_SIZE), np.uint8)
    corners = np.clip((contour + 0.5) * 4 - 0.5, -(2**12), 2**12)
    cv2.fillPoly(canvas, [np.round(corners * 16).astype(np.int32)], (255,), lineType=cv2.LINE_8, shift=4)
    return np.asarray(cv2.resize(canvas, (MOUTH_SIZE, MOUTH_SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def _own_places(size: int) -> Flow:
    ramp = np.arange(size, dtype=np.float32)
    return np.stack(np.meshgrid(ramp, ramp), -1)
