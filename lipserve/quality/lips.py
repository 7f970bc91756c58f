"""Opening and shape of a mouth, from the face mesh, and how two such series agree.

All measures are lengths over the distance of the outer eye corners, so neither the size of the face nor the
resolution of the picture matters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipserve.lipwarp.points import MOVED
from lipserve.lipwarp.shapes import Basis

Series = NDArray[np.float64]

FPS = 25
MEASURES = ("opening", "outer", "jaw", "width")
_PAIRS = ((13, 14), (0, 17), (1, 152), (61, 291))  # inner lips, outer lips, nose tip to chin, mouth corners
_EYES = (33, 263)
_EYE_FRAMES = 9  # of the median filter over the eye distance: blinks and jitter of the mesh go
MAX_LAG = 5  # frames


def measure(landmarks: NDArray[np.float64]) -> Series:
    """Return the MEASURES [F, 4] of a mesh [F, 468, 2+]."""
    points = landmarks[..., :2].astype(np.float64)
    eyes = np.linalg.norm(points[:, _EYES[0]] - points[:, _EYES[1]], axis=1)
    steady = median_filter(eyes, _EYE_FRAMES)
    pairs = [np.linalg.norm(points[:, a] - points[:, b], axis=1) / steady for a, b in _PAIRS]
    return np.stack(pairs, 1)


def measured(basis: Basis) -> Series:
    """Return by how much each number of a shape changes each of the lip measures [K, 4], in eye distances.

    A measure is taken down the face, or across for the width: as long as a mouth is not far from closed,
    the distance of its two points changes so.
    """
    out = np.zeros((basis.count, len(_PAIRS)))
    for measure, pair in enumerate(_PAIRS):
        upper, lower = (int(np.flatnonzero(point == MOVED)[0]) for point in pair)
        axis = 0 if MEASURES[measure] == "width" else 1
        out[:, measure] = basis.directions[:, lower, axis] - basis.directions[:, upper, axis]
    return out


def correlation(a: Series, b: Series) -> float:
    """Return Pearson's r of two series [F]; 0 where one of them is constant."""
    a, b = a - a.mean(), b - b.mean()
    power = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / power if power > 1e-12 else 0.0


def best_lag(a: Series, b: Series, max_lag: int = MAX_LAG) -> tuple[float, int]:
    """Return the highest correlation of two series [F] within `max_lag` frames, and its lag.

    A positive lag: `a` comes that many frames later than `b`.
    """
    lags = range(-max_lag, max_lag + 1)
    scores = {lag: correlation(*shifted(a, b, lag)) for lag in lags}
    lag = max(scores, key=lambda lag: (scores[lag], -abs(lag)))
    return scores[lag], lag


def shifted(a: NDArray[np.float64], b: NDArray[np.float64], lag: int) -> tuple[Series, Series]:
    """Return the parts of two series [F, ...] that overlap once `a` is moved `lag` frames earlier."""
    if lag >= 0:
        return a[lag:], b[: len(b) - lag]
    return a[:lag], b[-lag:]


def median_filter(values: Series, frames: int) -> Series:
    """Return a series [F] after a median over an odd number of frames; its ends are held."""
    half = frames // 2
    padded = np.pad(values, half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, frames)
    return np.asarray(np.median(windows, axis=1))
