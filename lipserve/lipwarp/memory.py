"""Remembered mouths: choice of those to keep, and of the two next to a wanted shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipserve.lipwarp.shapes import Series

MEMORIES = 8  # pictures that a source keeps at most ...
BESIDE = 2  # ... and how many of them a frame is made of
_NOTHING = 1 / 512  # of a share: half a level at most
_COMPARED = 4  # directions of a shape that are looked at: they hold nearly all of its variance


def choose(shapes: Series, quality: Series, count: int = MEMORIES) -> NDArray[np.int64]:
    """Return the frames [R], at most `count`, whose mouths are worth remembering, the most open one first.

    Each next one is the farthest from those before it (farthest-point sampling), so a few of them cover what
    the mouth does. Of frames that are alike the one of the higher quality is taken.

    Args:
        shapes: float64 [F, K].
        quality: float64 [F], 0..1: how sharp and how frontal the picture is.
    """
    if not len(shapes):
        return np.zeros(0, np.int64)
    places = shapes[:, :_COMPARED]
    first = int(np.argmax(places[:, 0] * (0.5 + 0.5 * quality)))
    chosen, distance = [first], _distance(places, places[first])
    while len(chosen) < min(count, len(shapes)):
        worth = distance * (0.5 + 0.5 * quality)
        following = int(np.argmax(worth))
        if distance[following] <= 0:
            break
        chosen.append(following)
        distance = np.minimum(distance, _distance(places, places[following]))
    return np.array(chosen, np.int64)


def beside(wanted: Series, remembered: Series) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the two remembered mouths next to each wanted shape [F, 2], and their shares [F, 2].

    The share of a mouth falls to nothing where a third one becomes as near as it is, so no mouth appears
    or disappears at once, however the wanted shape moves. Shares that nobody would see are none: such a mouth
    is not moved at all. The first one has the larger share.

    Args:
        wanted: float64 [F, K], shapes.
        remembered: float64 [R, K], R at least 1.
    """
    distance = np.stack([_distance(wanted[:, :_COMPARED], place) for place in remembered[:, :_COMPARED]], 1)
    order = np.argsort(distance, axis=1, kind="stable")[:, :BESIDE]
    if order.shape[1] < BESIDE:
        order = np.repeat(order, BESIDE, axis=1)
        return order.astype(np.int32), np.tile(np.array([1, 0], np.float32), (len(wanted), 1))
    near = np.take_along_axis(distance, order, 1)
    beyond = np.partition(distance, BESIDE, axis=1)[:, BESIDE] if distance.shape[1] > BESIDE else near.sum(1)
    share = np.maximum(beyond[:, None] - near, 0) + 1e-6
    share = share**4
    share[share < _NOTHING * share.sum(1, keepdims=True)] = 0
    share /= share.sum(1, keepdims=True)
    return order.astype(np.int32), share.astype(np.float32)


def _distance(places: Series, other: Series) -> Series:
    return np.asarray(np.linalg.norm(places - other, axis=-1))
