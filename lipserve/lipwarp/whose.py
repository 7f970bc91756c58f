"""Whose mouth a track shows: it goes on at its place after a cut, where somebody else may be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lipserve.crops import Strip
from lipserve.looks import SOMEBODY_ELSE, Look, tint, tints_apart

NOBODY = -1  # that was prepared
_LOOKS = 5  # at a shot, to tell whose mouth it shows


def told_apart(
    strips: Sequence[Strip], shots: NDArray[np.int64], tints: Sequence[Sequence[Look]]
) -> list[NDArray[np.int32]]:
    """Return which person each track shows in each frame, int32 [F] for each track; NOBODY: none of them.

    Within a shot it is the track's own person where the mouth looks like theirs, else the one that it looks
    like most, unless another track shows that person.

    Args:
        strips: mouth crops, of track i those of person i as far as places tell.
        shots: int64 [F], the number of each frame's shot.
        tints: of the remembered mouths of each person.
    """
    out = [np.full(len(strip.present), NOBODY, np.int32) for strip in strips]
    for shot in np.unique(shots):
        apart = {track: _apart(strip, shots == shot, tints) for track, strip in enumerate(strips)}
        for track, person in _owners(apart).items():
            out[track][shots == shot] = person
    return out


def _owners(apart: dict[int, list[float]]) -> dict[int, int]:
    """Return the person of each track, for those that show one.

    Args:
        apart: for each track, how far its mouth is from that of each person.
    """
    found = {track: track for track, gaps in apart.items() if gaps[track] <= SOMEBODY_ELSE}
    for track, gaps in apart.items():
        free = [person for person in range(len(gaps)) if person not in found.values()]
        nearest = min(free, key=gaps.__getitem__, default=NOBODY)
        if track not in found and free and gaps[nearest] <= SOMEBODY_ELSE:
            found[track] = nearest
    return found


def _apart(strip: Strip, shot: NDArray[np.bool_], tints: Sequence[Sequence[Look]]) -> list[float]:
    """Return how far a mouth, as it looks in a shot [F], is from that of each person; 1: it is not seen."""
    own = np.flatnonzero(shot & np.array(strip.present))
    looked_at = own[np.linspace(0, len(own) - 1, min(_LOOKS, len(own))).round().astype(int)]
    seen = [tint(strip.images[frame]) for frame in looked_at]
    if not seen:
        return [1.0] * len(tints)
    return [
        float(np.median([min(tints_apart(one, known) for known in mouths) for one in seen]))
        for mouths in tints
    ]
