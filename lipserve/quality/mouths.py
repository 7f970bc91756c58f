"""Mouths of a request, and which of them are measured."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lipserve.align import Transforms

_SAMPLES = (4, 2)  # of lips in a second: in short requests, and in long ones, which have enough of them
_LONG = 5.0  # seconds


@dataclass(frozen=True)
class Rhythm:
    """Frames from one sample to the next, of lips and of looks."""

    lips: int
    looks: int

    @classmethod
    def of(cls, fps: Fraction, count: int) -> Self:
        """Return the rhythm of a request of so many frames: looks about once a second, lips more often."""
        samples = _SAMPLES[count >= _LONG * fps]
        lips = max(1, round(fps / samples))
        return cls(lips, samples * lips)

    def looks_at(self, frames: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return which frames show a mouth whose looks are taken, or are beside one, for its flicker."""
        return np.asarray((frames + 1) % self.looks < 3)

    def near(self, frames: NDArray[np.int32], stop: int | None = None) -> NDArray[np.bool_]:
        """Return which rows [N] belong to the sample: their lips are measured, or their looks."""
        found = (frames % self.lips == 0) | self.looks_at(frames)
        return np.asarray(found if stop is None else found & (frames < stop))


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
    rhythm: Rhythm
    frames: NDArray[np.int32]
    tracks: NDArray[np.int32]
    transforms: Transforms
    asked: NDArray[np.float32]
    quiet: NDArray[np.uint8]
    stop: int | None = None
