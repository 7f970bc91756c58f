"""Mouths of a request, and which of them are measured."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipserve.align import Transforms

SAMPLES = 4  # a second, of lips ...
LOOKS = 4  # ... and at every fourth of them, looks


@dataclass(frozen=True)
class Mouths:
    """The mouths of a request, a row each, in the order of their frames.

    Attributes:
        frames, tracks: int [N], the output frame, and whose mouth it is.
        transforms: float32 [N, 2, 3], picture pixel -> pixel of the mouth crop; only those of rows that are
            `near` a sample matter.
        asked: float [N, 4], lip measures that the speech asks for; no numbers where that is not known.
        quiet: [N], whether the speech is silent there, so that the mouth should be at rest.
        stop: the first frame that is not measured any more; None: all are.
    """

    fps: Fraction
    frames: NDArray[np.int32]
    tracks: NDArray[np.int32]
    transforms: Transforms
    asked: NDArray[np.float32]
    quiet: NDArray[np.uint8]
    stop: int | None = None


def step(fps: Fraction) -> int:
    """Return the frames from one sample of the lips to the next."""
    return max(1, round(fps / SAMPLES))


def looks_at(frames: NDArray[np.int32], every: int) -> NDArray[np.bool_]:
    """Return which frames show a mouth whose looks are taken, or are beside such a one, for its flicker."""
    return np.asarray((frames + 1) % (LOOKS * every) < 3)


def near(frames: NDArray[np.int32], fps: Fraction, stop: int | None = None) -> NDArray[np.bool_]:
    """Return which rows [N] belong to the sample: their lips are measured, or their looks."""
    every = step(fps)
    found = (frames % every == 0) | looks_at(frames, every)
    return np.asarray(found if stop is None else found & (frames < stop))
