"""Generate stage of `lipwarp`: speech and mouth crops to flows, blend shares and paint."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve.audio import whisper_peak
from lipserve.errors import InputError
from lipserve.leaves import Leaves
from lipserve.lipwarp import speech
from lipserve.lipwarp.render import Mouths, blank, render
from lipserve.lipwarp.source import Source, from_bytes
from lipserve.options import LipwarpOptions, parse
from lipserve.quality import rest
from lipserve.quality.agreement import asked_lips
from lipserve_server.inside.metrics import Observer, SilentObserver

_FAR = 10_000.0  # pixels of a crop, or eye distances: no mouth is so large


class LipwarpGenerate:
    """Calls `speech_encoder` and `lip_motion` for the speech, `lip_renderer` for every mouth."""

    def __init__(self, leaves: Leaves, observer: Observer | None = None) -> None:
        self._leaves = leaves
        self._observer = observer or SilentObserver()

    def __call__(
        self,
        mouths: Mouths,
        audio: NDArray[np.float32],
        frames: NDArray[np.int32],
        tracks: NDArray[np.int32],
        source: bytes,
        options: bytes | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Return FLOW, BLEND, PAINT, MEMORIES, SHARES, OFFSETS, ASKED and QUIET, as the contract says.

        Args:
            audio: float32 [n], 16 kHz mono; its first sample is `first_sample` of the options.
            frames, tracks: int32 [N], the output frame of each mouth, and whose of the SOURCE it is.
            options: JSON of LipwarpOptions.

        Raises:
            InputError: a SOURCE or rows that the stage before cannot have given; speech that is empty, not
                finite or too short.
        """
        settings = parse(LipwarpOptions, options)
        prepared = from_bytes(source)
        _check(mouths, audio, frames, tracks, prepared)
        count = len(frames)
        out = blank(count) | {"ASKED": np.zeros((count, 4), np.float32), "QUIET": np.zeros(count, np.uint8)}
        if not count:
            return out
        every = np.unique(frames).astype(np.int64)
        peak = whisper_peak(audio) if settings.peak is None else settings.peak
        spoken = speech.heard(
            self._leaves,
            audio,
            settings.first_sample,
            settings.total_samples or settings.first_sample + len(audio),
            peak,
            every,
            settings.fps,
            settings.sync_offset_ms,
        )
        out["QUIET"][:] = rest.silent(
            audio, settings.first_sample, peak, frames.astype(np.int64), settings.fps
        )
        out["ASKED"][:] = asked_lips(spoken)[np.searchsorted(every, frames)]
        for track, person in enumerate(prepared.people):
            own = np.flatnonzero(tracks == track)
            wanted = spoken[np.searchsorted(every, frames[own])].astype(np.float64)
            wanted *= settings.opening * person.reach
            made = render(
                self._leaves,
                Mouths(mouths.faces[own], mouths.points[own], mouths.shapes[own], mouths.poses[own]),
                wanted,
                person,
                prepared.colour,
                self._observer.raise_if_cancelled,
            )
            if len(own) == count:  # one person's: nothing is to be put in place
                return out | made
            for name, values in made.items():
                out[name][own] = values
        return out


def _check(
    mouths: Mouths,
    audio: NDArray[np.float32],
    frames: NDArray[np.int32],
    tracks: NDArray[np.int32],
    source: Source,
) -> None:
    counts = {len(rows) for rows in (mouths.faces, mouths.points, mouths.shapes, mouths.poses, tracks)}
    if counts != {len(frames)} or (len(frames) and frames.min() < 0):
        raise InputError(
            "The tensors do not fit together.",
            "Send one row of each tensor, and a frame number >= 0, for every mouth.",
        )
    if len(tracks) and not (tracks.min() >= 0 and tracks.max() < len(source.people)):
        raise InputError(
            "TRACKS contains numbers of people that SOURCE does not have.", "Send what preprocess returned."
        )
    if not all((np.abs(rows) < _FAR).all() for rows in (mouths.points, mouths.shapes, mouths.poses)):
        raise InputError(
            "POINTS, SHAPES or POSES contain values that no mouth can have.", "Send what preprocess returned."
        )
    if not audio.size or not np.isfinite(audio).all():
        raise InputError(
            "AUDIO is empty, or contains values that are not finite.",
            "Send 16 kHz mono float32 samples in -1..1.",
        )
