"""Optical flow from moved mesh points: the source position of each output pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.contracts.lipwarp import FLOW_SIZE, MOUTH_SIZE
from lipserve.lipwarp.geometry import Points
from lipserve.lipwarp.points import INNER, LIPS, OUTER

REACH = 6.0  # pixels of the mouth crop: the standard deviation of a point's influence ...
LIPS_REACH = 2.0  # ... and of what is left to the lips, which lie near each other and move apart
STILL = 0.05  # weight of the rest of the picture, which stays where it is

_NO_MAP = np.empty(0, np.float32)  # both coordinates are in the first map
_CENTRES = (np.arange(FLOW_SIZE, dtype=np.float32) + 0.5) * (
    MOUTH_SIZE / FLOW_SIZE
) - 0.5  # of the grid's cells
_OWN_PLACES = np.stack(np.meshgrid(*[np.arange(MOUTH_SIZE, dtype=np.float32)] * 2), -1)

Flow = NDArray[np.float32]
"""float32 [..., G, G, 2]: x and y in pixels of the mouth crop, to be added to a pixel's own place."""


def point_flow(wanted: Points, sources: Points) -> Flow:
    """Return the backward flows [F, K, G, G, 2] from sources' points [F, K, P, 2] to the wanted [F, P, 2].

    From coarse to fine, as scattered data are interpolated in levels (Lee, Wolberg and Shin, 1997): all
    points give a smooth flow, and what it leaves to those of the lips is added close around them.
    """
    moved = (sources - wanted[:, None]).transpose(0, 2, 1, 3)  # [F, P, K, 2]
    lips = wanted[:, LIPS]
    left = moved[:, LIPS] - _at(lips, wanted, moved)
    flow = _spread(wanted, moved, REACH) + _spread(lips, left, LIPS_REACH)
    return np.ascontiguousarray(flow.transpose(0, 2, 1, 4, 3))


def _spread(points: Points, moved: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """Return the flow [F, G, K, 2, G] that points [F, P, 2] spread which move by `moved` [F, P, K, 2].

    A normalised sum of Gaussians around the points. They are separable, so it is one product of matrices a
    frame, however many sources it has: a row of weights, and what the columns pull by each coordinate, the
    last of which is the sum of the weights.
    """
    frames, count, sources, _ = moved.shape
    near = _gaussian(points[..., None] - _CENTRES, reach)  # [F, P, 2, G]
    columns, rows = near[:, :, 0], near[:, :, 1]
    pulled = np.empty((frames, count, sources * 2 + 1, FLOW_SIZE), np.float32)
    np.multiply(columns[:, :, None], moved.reshape(frames, count, sources * 2, 1), out=pulled[:, :, :-1])
    pulled[:, :, -1] = columns
    flow = rows.transpose(0, 2, 1) @ pulled.reshape(frames, count, (sources * 2 + 1) * FLOW_SIZE)
    flow = flow.reshape(frames, FLOW_SIZE, sources * 2 + 1, FLOW_SIZE)
    mean = flow[:, :, :-1] / (flow[:, :, -1:] + np.float32(STILL))
    return np.asarray(mean.reshape(frames, FLOW_SIZE, sources, 2, FLOW_SIZE), np.float32)


def _at(places: Points, points: Points, moved: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the smooth flow [F, Q, K, 2] at places [F, Q, 2], in the words of `_spread`."""
    frames, count, sources, _ = moved.shape
    across, down = (places[:, :, None, axis] - points[:, None, :, axis] for axis in (0, 1))
    near = _gaussian(np.hypot(across, down), REACH)  # [F, Q, P]
    flow = near @ moved.reshape(frames, count, sources * 2)
    flow /= near.sum(-1, keepdims=True) + np.float32(STILL)
    return np.asarray(flow.reshape(*places.shape[:2], sources, 2), np.float32)


def _gaussian(distance: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    return np.asarray(np.exp(np.float32(-0.5 / reach**2) * distance**2), np.float32)


def warped(image: NDArray[np.uint8], flow: Flow) -> NDArray[np.uint8]:
    """Return a crop [96, 96, 3] moved by a flow [G, G, 2], bilinear, its border held."""
    shift = cv2.resize(flow, (MOUTH_SIZE, MOUTH_SIZE), interpolation=cv2.INTER_LINEAR)
    places = cv2.add(shift, _OWN_PLACES)
    moved = cv2.remap(image, places, _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def lip_masks(points: Points) -> NDArray[np.uint8]:
    """Return the masks uint8 [S, S, 2] inside the inner and the outer contour of MOVED points [133, 2]."""
    masks = np.zeros((MOUTH_SIZE, MOUTH_SIZE, 2), np.uint8)
    for number, contour in enumerate((INNER, OUTER)):
        _fill(masks[..., number], points[contour])
    return masks


def _fill(mask: NDArray[np.uint8], contour: Points) -> None:
    """Draw a polygon [P, 2] at four times the density of a mask, and average: its border is soft."""
    low = np.clip(np.floor(contour.min(0)) - 1, 0, MOUTH_SIZE).astype(int)
    high = np.clip(np.ceil(contour.max(0)) + 2, 0, MOUTH_SIZE).astype(int)
    if (low >= high).any():
        return
    (width, height), (left, top), (right, bottom) = high - low, low, high
    canvas = np.zeros((4 * height, 4 * width), np.uint8)
    corners = np.clip((contour + 0.5) * 4 - 0.5, -(2**12), 2**12)
    drawn = np.round(corners * 16).astype(np.int32) - 64 * low.astype(np.int32)
    cv2.fillPoly(canvas, [drawn], (255,), lineType=cv2.LINE_8, shift=4)
    mask[top:bottom, left:right] = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
