"""Repair of timestamps: clocks that restart, packets without a timestamp.

All arrays are in decoding order, timestamps and steps in ticks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lipserve.files.timeline import Ticks

Clock = Literal["file", "joined", "counted"]
"""Where presentation times come from: the file's timestamps as they stand; the same, moved where its clock
restarts or jumps; the order in which a decoder gives its frames."""

REORDERED = 16  # frames that a decoder may hold back, in H.264 and HEVC


def joined(pts: Ticks, key: NDArray[np.bool_], step: int, jump: float) -> tuple[Ticks, int]:
    """Return timestamps on one clock, and how often the file's own restarted or jumped.

    A part begins where time runs ahead by more than `jump`, and where it runs backwards: at a key frame, as
    nothing that is decoded before one is shown after it; elsewhere by more frames than a decoder reorders.
    Each part follows the one before it by one frame, so that no frame is lost, shown twice, or held.

    Args:
        pts: int64 [N], N >= 1. key: bool [N], a decoder can begin here.
        step: from one frame to the next, where the timestamps do not tell.
    """
    seconds = pts.astype(np.float64)  # whatever a hostile file says, these differences do not wrap
    high = np.concatenate([seconds[:1], np.maximum.accumulate(seconds)[:-1]])
    settled = np.concatenate([np.full(REORDERED, -np.inf), high])[: len(pts)]
    if not ((key & (seconds < high)) | (seconds < settled) | (seconds - high > jump)).any():
        return pts, 0
    part = _parts(pts.tolist(), key.tolist(), REORDERED * step, jump)
    count = int(part.max()) + 1
    low, top = np.full(count, np.iinfo(np.int64).max), np.full(count, np.iinfo(np.int64).min)
    np.minimum.at(low, part, pts)
    np.maximum.at(top, part, pts)
    lengths = top - low + _typical(pts[part == 0], step)
    begins = low[0] + np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return pts - low[part] + begins[part], count - 1


def _parts(pts: list[int], key: list[bool], near: float, jump: float) -> NDArray[np.int64]:
    """Return which part each packet belongs to: 0, 1 ..; `near` ticks are no more than a decoder reorders."""
    part = np.zeros(len(pts), np.int64)
    current, began, before = 0, 0, None
    high = pts[0]
    recent = deque([-math.inf] * REORDERED)  # what `high` was after each of the last packets
    for position, at in enumerate(pts):
        begins = at > high + jump or at < recent[0] or (key[position] and at < high)
        fresh = position - began < REORDERED and not key[position]
        if before is not None and fresh and abs(at - before) <= near < abs(at - high):
            part[position] = current - 1  # of an open group, whose key frame came with the next part
            continue
        if begins:
            current, began, before, high = current + 1, position, high, at
            recent = deque([-math.inf] * REORDERED)
        part[position] = current
        high = max(high, at)
        recent.append(high)
        if len(recent) > REORDERED + 1:
            recent.popleft()
    return part


def _typical(pts: Ticks, step: int) -> int:
    gaps = np.diff(np.sort(pts))
    gaps = gaps[gaps > 0]
    return max(1, int(np.median(gaps))) if len(gaps) else step


def counted(
    pts: Sequence[int | None], dts: Sequence[int | None], step: int, jump: float
) -> tuple[Ticks, int]:
    """Return when the first, second .. frame that a decoder gives is shown, int64 [N], and as `joined` does.

    Decoding times, where every packet has one, are those of presentation save for a constant. Else the frames
    without a stamp lie evenly between those that have one, and `step` apart before, after, and without any.
    """
    stamps = list(pts) if None in dts else list(dts)
    known = np.array([place for place, at in enumerate(stamps) if at is not None], np.int64)
    places = np.arange(len(stamps))
    if len(known) == 0:
        return places * step, 0
    stated = np.array([at for at in stamps if at is not None], np.int64)
    # Decoding times never fall; timestamps of presentation fall as far as a decoder reorders.
    times, restarts = joined(stated, np.full(len(stated), None not in dts), step, jump)
    times = np.sort(times)
    missing = len(stamps) - len(known)
    if known[0] and max(np.setdiff1d(places, known)) < known[0] + REORDERED:
        known = places[missing:]  # they are the first ones, and some that are decoded after the first stamped
    outside = np.minimum(places - known[0], 0) + np.maximum(places - known[-1], 0)
    between = np.interp(places, known, times - times[0]).round().astype(np.int64)
    return between + times[0] + outside * step, restarts
