"""The invisible mark as it is found in a video: no source is needed, and no knowledge of its beginning."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.invisible_mark import code
from lipserve.invisible_mark.cells import CHIP, GRID, PERIOD, carriers, cells, places
from lipserve.invisible_mark.code import SIGNS, Soft

CERTAIN = 6.0  # score: of videos without a mark none was seen to have it
_PHASES = 4 * PERIOD  # beginnings of the code that are tried: four in a chip
_LONGEST = 60.0  # seconds that are looked at together
_SHORTEST = 1.0
_SLOW = 0.3  # seconds on both sides, whose mean is what changes slowly and is no mark
_LASTING = 0.5  # of what a face does in a frame, the share that is there in the next one at 25 fps
_OTHERS = 8  # the best phases, which are one another's neighbours

Levels = NDArray[np.float32]
"""float32 [F, K]: the mean luma of each cell in each frame."""


@dataclass(frozen=True)
class FoundMark:
    """An invisible mark.

    Attributes:
        number: eight hexadecimal digits.
        score: by how many deviations it stands out of what other beginnings of the code would give; above 6.
    """

    number: str
    score: float


def levels(face: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean luma of each cell [K] in the luma float32 [S, S] of a unit face crop."""
    small = cv2.resize(face, (GRID, GRID), interpolation=cv2.INTER_AREA)
    return np.asarray(small.ravel()[cells()], np.float32)


class Reader:
    """Reads the cells of faces that arrive frame by frame, in memory that does not grow with the video."""

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._open: dict[int, tuple[int, list[Levels]]] = {}  # of a face: its first frame, and its levels
        self._total = np.zeros((_PHASES, SIGNS), np.float32)
        self._best: FoundMark | None = None
        self._stretches = 0

    def add(self, face: int, first: int, levels: Levels) -> None:
        """Add the levels [F, K] of a face in the frames from `first` on, in order."""
        begin, held = self._open.get(face, (first, []))
        count = sum(map(len, held))
        if held and (begin + count != first or count > _LONGEST * self._fps):
            self._fold(begin, held)
            begin, held = first, []
        self._open[face] = begin, [*held, levels]

    def close(self) -> None:
        """End all stretches: faces that come have other numbers."""
        for begin, held in self._open.values():
            self._fold(begin, held)
        self._open = {}

    def found(self) -> FoundMark | None:
        """Return the mark that stands out most, of all stretches together or of one alone."""
        self.close()
        if self._stretches > 1:
            self._judge(self._total)
        return self._best

    def _fold(self, begin: int, held: list[Levels]) -> None:
        whole = np.concatenate(held)
        if len(whole) >= max(_SHORTEST * self._fps, 3):
            soft = signs(whole, begin, self._fps)
            self._total += soft
            self._stretches += 1
            self._judge(soft)

    def _judge(self, soft: Soft) -> None:
        found = judge(soft)
        if found is not None and (self._best is None or found.score > self._best.score):
            self._best = found


def signs(levels: Levels, first: int, fps: float) -> Soft:
    """Return the signs of the code that the levels [F, K] of a face tell, for each beginning [128, 96].

    The levels are freed of what a face does by itself: of what changes slowly, of what lasts from frame to
    frame, of what many cells do together. Frames and cells in which much happens count for little.
    """
    lasting = _LASTING ** (25 / fps)
    noise = _whitened(levels - _slow(levels, max(1, round(_SLOW * fps))), lasting)
    times = (first + np.arange(len(levels))) / fps
    out = np.zeros((_PHASES, SIGNS), np.float32)
    for phase in range(_PHASES):
        chips = np.floor((times + phase * PERIOD * CHIP / _PHASES) / CHIP + 1e-6).astype(int) % PERIOD
        for which, gain in ((chips[1:], 1.0), (chips[:-1], -lasting)):
            sent, values = places()[which].ravel(), (noise * carriers()[which]).ravel()
            out[phase] += gain * np.bincount(sent, values, SIGNS)
    return out


def judge(soft: Soft) -> FoundMark | None:
    """Return the mark that signs [128, 96] tell, or None where chance tells as much."""
    scores = code.agreement(soft)
    best = int(scores.argmax())
    others = np.sort(scores)[:-_OTHERS]
    score = float((scores[best] - others.mean()) / max(float(others.std()), 1e-9))
    number = code.decode(soft[best]) if score > CERTAIN else None
    return None if number is None else FoundMark(number, round(score, 1))


def _slow(levels: Levels, around: int) -> Levels:
    """Return the mean over so many frames on both sides, as far as there are any [F, K]."""
    sums = np.cumsum(np.pad(levels.astype(np.float64), ((1, 0), (0, 0))), 0)
    at = np.arange(len(levels))
    low, high = np.maximum(at - around, 0), np.minimum(at + around + 1, len(levels))
    return np.asarray((sums[high] - sums[low]) / (high - low)[:, None], np.float32)


def _whitened(levels: Levels, lasting: float) -> NDArray[np.float64]:
    """Return what is new in each frame but the first [F - 1, K], cells and frames weighed by their noise."""
    values = (levels[1:] - lasting * levels[:-1]).astype(np.float64)
    for _ in range(2):
        spread, axes = np.linalg.eigh(values.T @ values / len(values))
        middle = max(float(np.median(spread)), 1e-9)
        values = values @ (axes / np.sqrt(np.maximum(spread, 0) + 0.3 * middle)) @ axes.T
        power = (values**2).mean(1)
        power = np.convolve(np.pad(power, 1, "edge"), np.full(3, 1 / 3), "valid")
        values /= np.sqrt(power + 0.3 * max(float(np.median(power)), 1e-9))[:, None]
    values /= max(float(values.std()), 1e-9)
    return np.asarray(values / (1 + values**2 / 4))  # what is far off says little
