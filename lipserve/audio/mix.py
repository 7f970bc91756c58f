"""Mix the channels of a sound to one or two, without a change of loudness."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Samples [n, channels]."""

_AROUND = re.compile(r"T?B[LRC]|SD?[LR]")  # FFmpeg's names of what stands beside or behind the listener
_SURROUND = 1.41  # weight of such a channel's power (ITU-R BS.1770, table 3)
_STEP = 0.1  # seconds, of what is listened to before the mix may change
_MEMORY = 0.1  # seconds after which what was heard counts half
_CLEARLY = 2.0  # times the power that the other combination must have, so that noise does not choose


class Mixer:
    """Mixes blocks of one layout to one or two channels.

    More than two channels keep their loudness: each goes to its side with the weight by which EBU R128 counts
    it, and what is alike in several, and would add up or cancel, is made up for by a gain that follows the
    sound. Of channels without names nobody can tell where they stand: their mean, as loud as the loudest.

    Two channels become one as half their sum, or half their difference where that is louder: of anti-phase
    stereo the sum is silence.

    Args:
        names: FFmpeg's, of the channels: FL, FR, FC, LFE, BL ...; anything else is no place.
        rate: samples a second.
        channels: of the mix, 1 or 2.
    """

    def __init__(self, names: Sequence[str], rate: int, channels: int) -> None:
        self._rate, self._channels, self._count = rate, channels, len(names)
        self._sides, self._weights = _placed(names)
        self._heard = np.zeros(
            4
        )  # power of the source, of half the sum, of half the difference, of both sides
        self._difference = False
        self._gain = 1.0
        self._last: NDArray[np.float32] | None = None

    def __call__(self, samples: Samples) -> Samples:
        """Return the next block, mixed."""
        if self._count == self._channels:
            return samples
        step = max(1, round(self._rate * _STEP))
        return np.concatenate([self._step(samples[at : at + step]) for at in range(0, len(samples), step)])

    def _step(self, samples: Samples) -> Samples:
        pair = samples @ self._sides
        if self._count > 1:
            self._listen(samples, pair)
        now = self._combination()
        before, self._last = self._last, now
        if before is None or not (before != now).any():
            return pair @ now
        ramp = np.linspace(0, 1, len(pair), dtype=np.float32)[:, None]
        mixed: Samples = np.add((pair @ before) * (1 - ramp), (pair @ now) * ramp)
        return mixed

    def _listen(self, samples: Samples, pair: Samples) -> None:
        """Choose between sum and difference, and find the gain, by what was heard of late."""
        powers = np.square(samples).sum(axis=0)
        source = powers.max() if self._weights is None else powers @ self._weights
        both = float(np.vdot(pair, pair))
        alike = float(np.vdot(pair[:, 0], pair[:, 1]))
        self._heard *= 0.5 ** (len(samples) / self._rate / _MEMORY)
        self._heard += [source, max(0, both / 4 + alike / 2), max(0, both / 4 - alike / 2), both]
        wanted, added, subtracted, both = self._heard
        if max(added, subtracted) > _CLEARLY * min(added, subtracted):
            self._difference = bool(subtracted > added)
        mixed = both if self._channels == 2 else subtracted if self._difference else added
        if self._count > 2 and wanted > 0:
            self._gain = float(np.sqrt(wanted / max(mixed, wanted / self._count**2)))

    def _combination(self) -> NDArray[np.float32]:
        """Return the gains from the left and right side to each channel of the mix, [2, channels]."""
        if self._channels == 2:
            return np.float32(self._gain) * np.eye(2, dtype=np.float32)
        return np.array([[0.5], [-0.5 if self._difference else 0.5]], np.float32) * np.float32(self._gain)


def _placed(names: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
    """Return the left and right gain of each channel, [C, 2], and the weight of its power, [C].

    None: nobody can tell, because a channel has no place.
    """
    if len(names) == 2:
        return np.eye(2, dtype=np.float32), np.ones(2)
    places = [_place(name) for name in names]
    known = [place for place in places if place is not None]
    if len(names) == 1 or len(known) < len(places):
        return np.full(
            (len(names), 2), (np.sqrt(0.5) if len(names) == 1 else 1 / len(names)), np.float32
        ), None
    sides = [(left * np.sqrt(weight), right * np.sqrt(weight)) for left, right, weight in known]
    return np.array(sides, np.float32), np.array([weight for _, _, weight in known])


def _place(name: str) -> tuple[float, float, float] | None:
    """Return a channel's shares of left and right, as amplitudes, and its weight; None: it has no place."""
    if name.startswith("LFE"):
        return 0.0, 0.0, 0.0
    if not re.fullmatch(r"[FBSTDW][A-Z]{1,2}", name):
        return None
    weight = _SURROUND if _AROUND.fullmatch(name) else 1.0
    if "L" in name or "R" in name:
        return float("L" in name), float("R" in name), weight
    return np.sqrt(0.5), np.sqrt(0.5), weight
