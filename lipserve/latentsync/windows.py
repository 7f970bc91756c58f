"""Plan of UNet3D's windows: 16 frames of one person's face each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts.latentsync import WINDOW
from lipserve.errors import InputError


@dataclass(frozen=True)
class Window:
    """Sixteen frames of one track.

    Attributes:
        track: whose face.
        frames: int64 [16], the output frames, in order; a clip that is shorter repeats its last.
        rows: int64 [16], the row of FACES that stands for each: the frame's own or, where it shows no face,
            the nearest of the window (the earlier of two).
        kept: int64 [K, 2], position in the window and output row of what it is to produce; at least one.
    """

    track: int
    frames: NDArray[np.int64]
    rows: NDArray[np.int64]
    kept: NDArray[np.int64]


def plan(frames: NDArray[np.int32], tracks: NDArray[np.int32], first: int, stop: int) -> list[Window]:
    """Return the windows that produce every row once, by time, then by track.

    They lie on the grid 16 k .. 16 k + 15 of absolute frames, so a clip that is cut at multiples of 16 has
    the same ones. A last one that would be short ends at `stop` and keeps its new frames only: UNet3D's
    norms look at all 16, and a shorter window would be another network.

    Args:
        frames: int32 [N], the output frame of each row, in any order.
        tracks: int32 [N], whose face each row shows.
        first, stop: the frames of the request, `stop` excluded.

    Raises:
        InputError: a row outside the request, or two of one face in one frame.
    """
    _check(frames, tracks, first, stop)
    windows: list[Window] = []
    people = [(int(track), np.flatnonzero(tracks == track)) for track in np.unique(tracks)]
    for begin, end in _blocks(first, stop):
        start = max(first, min(begin, stop - WINDOW))
        seen = np.minimum(start + np.arange(WINDOW), stop - 1)
        for track, rows in people:
            window = _window(track, seen, rows, frames[rows].astype(np.int64), begin, end)
            windows += [window] if window else []
    return windows


def _blocks(first: int, stop: int) -> list[tuple[int, int]]:
    """Return the stretches of frames that a window each produces."""
    if stop - first <= WINDOW:
        return [(first, stop)]
    edges = [first, *range(first - first % WINDOW + WINDOW, stop, WINDOW), stop]
    return list(pairwise(edges))


def _window(
    track: int, seen: NDArray[np.int64], rows: NDArray[np.int64], at: NDArray[np.int64], begin: int, end: int
) -> Window | None:
    """Return one track's window over the frames `seen`; None where it would produce nothing.

    Args:
        rows, at: int64 [M], the track's rows and the frame of each.
        begin, end: the frames that the window is to produce, `end` excluded.
    """
    inside = (at >= seen[0]) & (at <= seen[-1])
    order = np.argsort(at[inside])
    rows, at = rows[inside][order], at[inside][order]
    made = (at >= begin) & (at < end)
    if not made.any():
        return None
    nearest = np.abs(at - seen[:, None]).argmin(1)
    kept = np.stack([np.searchsorted(seen, at[made]), rows[made]], 1)
    return Window(track, seen, rows[nearest], kept)


def _check(frames: NDArray[np.int32], tracks: NDArray[np.int32], first: int, stop: int) -> None:
    if ((frames < first) | (frames >= stop)).any():
        raise InputError(
            f"FRAMES contains frames outside the request, which has {first} to {stop - 1}.",
            "Send only rows of these frames.",
        )
    if len(np.unique(np.stack([frames, tracks]), axis=1).T) < len(frames):
        raise InputError(
            "Two rows of FACES are of the same face in the same frame.",
            "Send one of them, or give the two faces different numbers in TRACKS.",
        )
