"""Generate stage of `wav2lip`: face crops and speech to dubbed face crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipserve.audio import mel_wav2lip
from lipserve.contracts import WAV2LIP_SIZE
from lipserve.errors import InputError
from lipserve.leaves import Leaves
from lipserve.options import GenerateOptions, parse
from lipserve.wav2lip.windows import HOP, mel_starts, mel_windows
from lipserve_server.inside.metrics import Observer, SilentObserver
from lipserve_server.repository.manifest import read_manifest

BATCH = 16  # crops in one call of the generator: enough to spread the cost of the call, small in memory

Faces = NDArray[np.uint8]


class Wav2LipGenerate:
    """Calls `wav2lip_generator` for every crop with the mel window that its frame hears."""

    def __init__(self, repository: Path, leaves: Leaves, observer: Observer | None = None) -> None:
        self._mel_offset_ms = read_manifest(repository, "wav2lip_generator").mel_offset_ms
        self._leaves = leaves
        self._observer = observer or SilentObserver()

    def __call__(
        self,
        faces: Faces,
        audio: NDArray[np.float32],
        frames: NDArray[np.int32] | None = None,
        options: bytes | None = None,
    ) -> dict[str, Faces]:
        """Return FACES, uint8 [N, 96, 96, 3] RGB.

        Args:
            faces: uint8 [N, 96, 96, 3] RGB, cut as the generator knows them (`LeafManifest.framing`).
            audio: float32 [n], 16 kHz mono; its first sample is `first_sample` of the options.
            frames: int32 [N], the frame that each crop is of; 0, 1, 2 ... where None.
            options: JSON of GenerateOptions.

        Raises:
            InputError: shapes that do not agree, speech that is empty or not finite.
        """
        settings = parse(GenerateOptions, options)
        order = np.arange(len(faces), dtype=np.int32) if frames is None else frames
        _check(faces, audio, order)
        if not len(faces):
            return {"FACES": faces.reshape(0, WAV2LIP_SIZE, WAV2LIP_SIZE, 3)}
        mel = mel_wav2lip(audio)
        offset = settings.sync_offset_ms + self._mel_offset_ms
        starts = mel_starts(order, settings.fps, offset) - settings.first_sample // HOP
        windows = mel_windows(mel, starts)
        made = np.empty_like(faces)
        for first in range(0, len(faces), BATCH):
            part = slice(first, first + BATCH)
            self._observer.raise_if_cancelled()
            made[part] = self._leaves("wav2lip_generator", {"MEL": windows[part], "FACES": faces[part]})[
                "GENERATED"
            ]
        return {"FACES": made}


def _check(faces: Faces, audio: NDArray[np.float32], frames: NDArray[np.int32]) -> None:
    side = (WAV2LIP_SIZE, WAV2LIP_SIZE, 3)
    if len(faces) and faces.shape[1:] != side:
        raise InputError(
            f"FACES has the shape {list(faces.shape)}.", f"Send [N, {', '.join(map(str, side))}] uint8."
        )
    if frames.shape != (len(faces),) or (len(frames) and frames.min() < 0):
        raise InputError(
            f"FRAMES has the shape {list(frames.shape)}.", "Send one frame number >= 0 for each face."
        )
    if not audio.size or not np.isfinite(audio).all():
        raise InputError(
            "AUDIO is empty, or contains values that are not finite.",
            "Send 16 kHz mono float32 samples in -1..1.",
        )
