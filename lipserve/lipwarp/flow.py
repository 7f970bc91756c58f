"""Optical flow from moved mesh points: the source position of each output pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.contracts.lipwarp import FLOW_SIZE, MOUTH_SIZE
from lipserve.lipwarp.geometry import Points
from lipserve.lipwarp.points import FACE_EDGE, INNER, LIPS, OUTER

REACH = 6.0  # pixels of the mouth crop: the standard deviation of a point's influence ...
LIPS_REACH = 2.0  # ... and of what is left to the lips, which lie near each other and move apart
STILL = 0.05  # weight of the rest of the picture, which stays where it is
_LEAST = -30.0  # of a weight's logarithm: 1e-13, nothing beside STILL, and so is the product of two of them

_DENSITY, _SHIFT = 4, 4  # of what a mask is drawn on, and bits of OpenCV's parts of its pixels
_STEPS = _DENSITY << _SHIFT  # of such parts in a pixel of the crop
_EDGE = 7  # pixels of the crop over which a face's edge fades
_BEYOND = 2.0**10  # pixels of the crop: nobody's lips are drawn so far away
_NO_MAP = np.empty(0, np.float32)  # both coordinates are in the first map
_CENTRES = (np.arange(FLOW_SIZE, dtype=np.float32) + 0.5) * (
    MOUTH_SIZE / FLOW_SIZE
) - 0.5  # of the grid's cells
_OWN_PLACES = np.stack(np.meshgrid(*[np.arange(MOUTH_SIZE, dtype=np.float32)] * 2), -1)

Flow = NDArray[np.float32]
"""float32 [..., G, G, 2]: x and y in pixels of the mouth crop, to be added to a pixel's own place."""


def point_flow(wanted: Points, sources: Points) -> Flow:
    """Return the backward flows [K, G, G, 2] from sources' points [K, P, 2] to the wanted ones [P, 2].

    From coarse to fine, as scattered data are interpolated in levels (Lee, Wolberg and Shin, 1997): all
    points give a smooth flow, and what it leaves to those of the lips is added close around them.
    """
    moved = (sources - wanted).transpose(1, 0, 2).reshape(len(wanted), -1)  # [P, K * 2]
    lips = wanted[LIPS]
    flow = _spread(wanted, moved, REACH)
    flow += _spread(lips, moved[LIPS] - _at(lips, wanted, moved), LIPS_REACH)
    flow = flow.reshape(FLOW_SIZE, len(sources), 2, FLOW_SIZE)
    return np.ascontiguousarray(flow.transpose(1, 0, 3, 2))


def _spread(points: Points, moved: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """Return the flow [G, C, G] that points [P, 2] spread which move by the coordinates `moved` [P, C].

    A normalised sum of Gaussians around the points. They are separable, so it is one product of matrices,
    however many sources there are: a row of weights, and what the columns pull by each coordinate, the last
    of which is the sum of the weights. A frame at a time, all of it stays in the processor's cache.
    """
    count, coordinates = moved.shape
    columns, rows = _gaussian(np.square(points.T[..., None] - _CENTRES), reach)  # [P, G] each
    pulled = np.empty((count, coordinates + 1, FLOW_SIZE), np.float32)
    np.multiply(columns[:, None], moved[..., None], out=pulled[:, :-1])
    pulled[:, -1] = columns
    flow = (rows.T @ pulled.reshape(count, -1)).reshape(FLOW_SIZE, coordinates + 1, FLOW_SIZE)
    return np.asarray(flow[:, :-1] / (flow[:, -1:] + np.float32(STILL)), np.float32)


def _at(places: Points, points: Points, moved: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the smooth flow [Q, C] at places [Q, 2], in the words of `_spread`."""
    across, down = (np.square(places[:, None, axis] - points[:, axis]) for axis in (0, 1))
    near = _gaussian(across + down, REACH)  # [Q, P]
    return np.asarray(near @ moved / (near.sum(-1, keepdims=True) + np.float32(STILL)), np.float32)


def _gaussian(squared: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """Return the weights at squared distances, which are written over.

    None is so small that a product of two is subnormal: such numbers take a processor far longer.
    """
    squared *= np.float32(-0.5 / reach**2)
    np.maximum(squared, np.float32(_LEAST), out=squared)
    return np.asarray(np.exp(squared, out=squared), np.float32)


def stored(flow: Flow) -> NDArray[np.float16]:
    """Return flows in half precision. OpenCV uses the processor's own conversion, NumPy counts bits."""
    return np.asarray(cv2.convertFp16(flow.reshape(-1, 2))).view(np.float16).reshape(flow.shape)


def restored(flow: NDArray[np.float16]) -> Flow:
    """Return `stored` flows in single precision."""
    return np.asarray(cv2.convertFp16(flow.reshape(-1, 2).view(np.int16)), np.float32).reshape(flow.shape)


def warped(image: NDArray[np.uint8], flow: Flow) -> NDArray[np.uint8]:
    """Return a crop [96, 96, 3] moved by a flow [G, G, 2], bilinear, its border held."""
    shift = cv2.resize(flow, (MOUTH_SIZE, MOUTH_SIZE), interpolation=cv2.INTER_LINEAR)
    places = cv2.add(shift, _OWN_PLACES)
    moved = cv2.remap(image, places, _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def lip_masks(points: Points) -> NDArray[np.uint8]:
    """Return the masks uint8 [S, S, 2] inside the inner and the outer contour of MOVED points [133, 2]."""
    masks = np.zeros((MOUTH_SIZE, MOUTH_SIZE, 2), np.uint8)
    drawn = _drawn(points[LIPS])
    for number, contour in enumerate((INNER, OUTER)):
        _fill(masks[..., number], drawn[contour])
    return masks


def face_mask(points: Points) -> NDArray[np.uint8]:
    """Return the soft mask uint8 [S, S] of the face that MOVED points [133, 2] show: from jaw to jaw."""
    mask = np.zeros((MOUTH_SIZE, MOUTH_SIZE), np.uint8)
    cv2.fillPoly(mask, [_drawn(points[FACE_EDGE]) - _STEPS // 2], (255,), shift=_STEPS.bit_length() - 1)
    return np.asarray(cv2.blur(mask, (_EDGE, _EDGE)), np.uint8)


def _drawn(points: Points) -> NDArray[np.int32]:
    """Return points [P, 2] as `_fill` counts them."""
    near = np.minimum(np.maximum(points, -_BEYOND), _BEYOND)
    return np.asarray(np.rint(near * _STEPS + _STEPS / 2), np.int32)


def _fill(mask: NDArray[np.uint8], contour: NDArray[np.int32]) -> None:
    """Draw a polygon [P, 2] at a multiple of a mask's density, and average: its border is soft.

    Args:
        contour: in steps from the mask's corner.
    """
    left, top, width, height = (value // _STEPS for value in cv2.boundingRect(contour))
    columns = slice(max(0, left - 1), min(MOUTH_SIZE, left + width + 3))
    rows = slice(max(0, top - 1), min(MOUTH_SIZE, top + height + 3))
    if columns.start >= columns.stop or rows.start >= rows.stop:
        return
    extent = (columns.stop - columns.start, rows.stop - rows.start)
    canvas = np.zeros((_DENSITY * extent[1], _DENSITY * extent[0]), np.uint8)
    # OpenCV counts from the middle of a canvas' first pixel.
    placed = contour - np.array([columns.start, rows.start], np.int32) * _STEPS - _STEPS // (2 * _DENSITY)
    cv2.fillPoly(canvas, [placed], (255,), lineType=cv2.LINE_8, shift=_SHIFT)
    mask[rows, columns] = cv2.resize(canvas, extent, interpolation=cv2.INTER_AREA)
