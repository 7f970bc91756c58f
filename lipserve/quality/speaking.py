"""Who is speaking: in every frame the face whose lips fit the speech, or nobody who is seen.

Each frame gives evidence for each face of its shot: how its lips move together with what the speech asks for
(the products whose mean is Pearson's correlation), and whether they move at all while the speech sounds. The
most likely sequence of speakers is found under a price for each change (Viterbi's algorithm), so a face keeps
the word through a moment in which the evidence is weak.

Measured on pairs of real faces side by side that take turns of two to three seconds (docs/cues.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lipserve.segments import Span

Array = NDArray[np.float64]

_SLOW = 1.0  # seconds: slower changes of the lips are the head's
_MOVING = 0.6  # seconds over which movement is measured
_LEAST = 0.012  # eye distances: lips that deviate less do not move
_CHANGE = 6.0  # price of another speaker, in frames at 25 fps of perfect agreement
_NOBODY = 0.1  # evidence of a frame, while the speech sounds, that nobody in the picture speaks
_MOVEMENT = 0.3  # weight of movement beside agreement
_MAX_LAG = 0.2  # seconds that picture and sound may be apart, on both sides
_LAG_PRICE = 0.6  # for each frame of it at 25 fps
_SILENT = 0.35  # of what a sounding speech asks for: below it, a pause takes the word from nobody
_USUAL_LAG = -0.04  # seconds: lips begin before their sound is heard


@dataclass(frozen=True)
class Trace:
    """The lips of one face within one shot.

    Attributes:
        number: of the face. shot: of its shot.
        frames: int64 [N], rising: the frames that show it.
        lips: float64 [N, 4], lip measures. boxes: [N, 4], x0, y0, x1, y1 in pixels.
    """

    number: int
    shot: int
    frames: NDArray[np.int64]
    lips: Array
    boxes: Array


@dataclass(frozen=True)
class Turn:
    """A stretch of frames in which a face speaks.

    Attributes:
        face: its number.
        x, y: the middle of its box in the first frame, pixels.
    """

    face: int
    span: Span
    x: float
    y: float


def turns(
    traces: Sequence[Trace], asked: Array, edges: Sequence[int], fps: Fraction, held: bool = False
) -> list[Turn]:
    """Return who speaks when, in order.

    Args:
        asked: float64 [F, 4], the lip measures that the speech asks for in every frame; no number: no speech.
        edges: the first frame of each shot, and the number of frames.
        held: who spoke last keeps the word through a pause, and who speaks first in a shot has it before.
    """
    sound = _Sound(asked, float(fps))
    found: list[Turn] = []
    lag = _lag(traces, sound, edges)
    for shot, (first, stop) in enumerate(pairwise(edges)):
        own = [trace for trace in traces if trace.shot == shot]
        if own and stop > first:
            span = Span(first, stop - first)
            speakers, _ = _speakers(own, sound, span, lag)
            if held:
                speakers = _held(speakers, len(own), sound.late(sound.sounds, span, lag))
            found += _turns(own, speakers, first)
    return found


class _Sound:
    """What the speech asks of the lips, without its slow changes, in units of its deviation [F, 4]."""

    def __init__(self, asked: Array, fps: float) -> None:
        self.fps = fps
        fast = _fast(np.nan_to_num(asked), fps)
        self.asked = np.clip(fast / np.maximum(fast.std(0), 1e-3), -3, 3) if len(fast) else fast
        self.sounds = np.clip(_moving(self.asked, fps), 0, 1.5)

    def late(self, values: Array, span: Span, lag: int) -> Array:
        """Return the values of a span as they are `lag` frames before; 0 where there are none."""
        at = np.arange(span.first, span.stop) - lag
        inside = (at >= 0) & (at < len(values))
        out = np.zeros((span.count, *values.shape[1:]))
        out[inside] = values[at[inside]]
        return out


def _lag(traces: Sequence[Trace], sound: _Sound, edges: Sequence[int]) -> int:
    """Return by how many frames the pictures come late: one recording has one offset."""
    most = round(_MAX_LAG * sound.fps)
    usual = round(_USUAL_LAG * sound.fps)
    totals = {lag: -_LAG_PRICE * abs(lag - usual) for lag in range(-most, most + 1)}
    for shot, (first, stop) in enumerate(pairwise(edges)):
        own = [trace for trace in traces if trace.shot == shot]
        if own and stop > first:
            for lag in totals:
                totals[lag] += _speakers(own, sound, Span(first, stop - first), lag)[1] * 25 / sound.fps
    return max(totals, key=lambda lag: totals[lag])


def _speakers(
    traces: Sequence[Trace], sound: _Sound, span: Span, lag: int
) -> tuple[NDArray[np.int64], float]:
    """Return who speaks in each frame of a shot, places in `traces` (their number: nobody), and its sum."""
    rows = [_evidence(trace, sound, span, lag) for trace in traces]
    rows.append(
        _NOBODY * np.maximum(sound.late(sound.sounds, span, lag), 0.1)
    )  # of a tie, nobody has the word
    return _likeliest(np.stack(rows), _CHANGE * sound.fps / 25)


def _evidence(trace: Trace, sound: _Sound, span: Span, lag: int) -> Array:
    """Return the evidence [F] of each frame of a shot that this face speaks; unseen, it does not."""
    out = np.full(span.count, -9.0)
    fast = _fast(trace.lips, sound.fps)
    lips = np.clip(fast / np.maximum(fast.std(0), _LEAST), -3, 3)
    at = trace.frames - span.first
    asked = sound.late(sound.asked, span, lag)[at]
    sounds = sound.late(sound.sounds, span, lag)[at]
    moves = np.clip(_moving(lips, sound.fps), 0, 1.5) - 0.8
    out[at] = (lips * asked).mean(1) + _MOVEMENT * sounds * moves
    return out


def _likeliest(evidence: Array, price: float) -> tuple[NDArray[np.int64], float]:
    """Return the row [F] of the best path through evidence [S, F], and its sum less the price of changes."""
    states, count = evidence.shape
    worth = evidence[:, 0].copy()
    before = np.zeros((count, states), np.int64)
    stay = np.arange(states)
    for frame in range(1, count):
        best = int(worth.argmax())
        jump = worth[best] - price > worth
        before[frame] = np.where(jump, best, stay)
        worth = np.maximum(worth, worth[best] - price) + evidence[:, frame]
    path = np.zeros(count, np.int64)
    path[-1] = worth.argmax()
    for frame in range(count - 1, 0, -1):
        path[frame - 1] = before[frame, path[frame]]
    return path, float(worth.max())


def _held(speakers: NDArray[np.int64], nobody: int, sounds: Array) -> NDArray[np.int64]:
    """Return the speakers [F] of a shot with pauses given to who spoke before, else to who speaks after."""
    out = speakers.copy()
    edges = [0, *(np.flatnonzero(np.diff(speakers)) + 1).tolist(), len(speakers)]
    for begin, end in pairwise(edges):
        if speakers[begin] == nobody and sounds[begin:end].mean() < _SILENT:
            out[begin:end] = out[begin - 1] if begin else speakers[end] if end < len(speakers) else nobody
    return out


def _turns(traces: Sequence[Trace], speakers: NDArray[np.int64], first: int) -> list[Turn]:
    found = []
    edges = [0, *(np.flatnonzero(np.diff(speakers)) + 1).tolist(), len(speakers)]
    for begin, end in pairwise(edges):
        if speakers[begin] < len(traces):
            trace = traces[speakers[begin]]
            place = min(int(np.searchsorted(trace.frames, first + begin)), len(trace.frames) - 1)
            x0, y0, x1, y1 = trace.boxes[place].tolist()
            found.append(Turn(trace.number, Span(first + begin, end - begin), (x0 + x1) / 2, (y0 + y1) / 2))
    return found


def _fast(values: Array, fps: float) -> Array:
    """Return the values [F, C] without their mean over `_SLOW` seconds."""
    return np.asarray(values - _mean(values, round(_SLOW * fps)))


def _moving(values: Array, fps: float) -> Array:
    """Return how much the values [F, C] move around each frame, [F]."""
    return np.asarray(np.sqrt(_mean(np.square(values), round(_MOVING * fps)).mean(1)))


def _mean(values: Array, width: int) -> Array:
    """Return the running mean over `width` frames, fewer at the ends."""
    if not len(values):
        return values
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    at = np.arange(len(values))
    low, high = np.maximum(at - width // 2, 0), np.minimum(at - width // 2 + width, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low)[:, None])
