"""Draw training batches from a dataset: by speaker, seeded, augmented."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipserve import audio
from lipserve.contracts import MEL_BINS, MEL_COLUMNS, WAV2LIP_SIZE
from lipserve.errors import SetupError
from lipserve.quality.lips import FPS
from lipserve.wav2lip.windows import mel_starts, mel_windows
from lipserve_training.data import augment, store, track

TRAINING_OFFSET_MS = -1000 / FPS
"""In training frame f hears the mel from 80 (f - 1) / 25 on: a frame earlier than at inference (Wav2Lip)."""
_BGR = [2, 1, 0]
STORED = track.CROP_SIZES[0]  # pixels of a stored crop that are looked at: two for each of the generator's
_STILL = 0.005  # of the eye distance: lips that move less are not blown up


@dataclass(frozen=True)
class Batch:
    """T consecutive frames of B clips.

    Attributes:
        mel: float32 [B, T, 1, 80, 16]; the window of each frame.
        faces: float32 [B, T, 6, 96, 96] in 0..1: BGR of the face with its lower half black, then of another
            moment of the same clip.
        target: float32 [B, T, 3, 96, 96] in 0..1, BGR.
        other_mel: float32 [B, 1, 80, 16]; the window of the other moment.
        lips: float32 [B, T, 4]; the lip measures, standardised over their clip.
    """

    mel: Tensor
    faces: Tensor
    target: Tensor
    other_mel: Tensor
    lips: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in vars(self).values()))


class Footage:
    """A clip in memory: its crops, the mel window of every frame [F, 80, 16], standardised lips [F, 4]."""

    def __init__(self, folder: Path, name: str, offset_ms: float, decoded: bool) -> None:
        clip = store.read(folder, name)
        self._clip = clip
        self._decoded = [clip.image(frame, STORED) for frame in range(len(clip.images))] if decoded else None
        mel = audio.mel_wav2lip(clip.samples)
        frames = np.arange(len(clip.images), dtype=np.int32)
        starts = mel_starts(frames, Fraction(FPS), offset_ms)
        self.windows = mel_windows(mel, starts)[:, 0]
        self.lips = ((clip.lips - clip.lips.mean(0)) / (clip.lips.std(0) + _STILL)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.windows)

    def image(self, frame: int) -> augment.Image:
        """Return one stored crop, uint8 [S, S, 3] RGB, S at most STORED."""
        return self._decoded[frame] if self._decoded else self._clip.image(frame, STORED)


class Sampler:
    """Endless batches. The same seed gives the same batches.

    Args:
        entries: the clips to draw from; all of them are held in memory, decoded where they fit `cache_gib`.
        power: of a speaker's length in the draw: 1 draws every frame alike, 0 every speaker.
        offset_ms: of the mel windows, see TRAINING_OFFSET_MS.
    """

    def __init__(
        self,
        folder: Path,
        entries: list[store.Entry],
        strength: augment.Strength,
        power: float = 0.5,
        offset_ms: float = TRAINING_OFFSET_MS,
        cache_gib: float = 6.0,
    ) -> None:
        if not entries:
            raise SetupError("No clip is left to train on.", "Hold out fewer speakers, or prepare more data.")
        size = sum(entry.frames for entry in entries) * STORED * STORED * 3
        decoded = size <= cache_gib * 2**30
        self._footage = [Footage(folder, entry.clip, offset_ms, decoded) for entry in entries]
        spoken = Counter[str]()
        for entry in entries:
            spoken[entry.speaker] += entry.frames
        weights = np.array([entry.frames * spoken[entry.speaker] ** (power - 1) for entry in entries])
        self._weights = weights / weights.sum()
        self._strength = strength

    def batches(self, clips: int, frames: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield batches of `frames` consecutive frames of `clips` drawn clips."""
        while True:
            yield self.batch(clips, frames, rng)

    def batch(self, clips: int, frames: int, rng: np.random.Generator) -> Batch:
        """Return the next batch."""
        drawn = [self._draw(frames, rng) for _ in range(clips)]
        mel, target, reference, lips = (np.stack(parts) for parts in zip(*drawn, strict=True))
        return assemble(mel, target, reference, lips, self._mask_rows(clips, rng))

    def _draw(self, frames: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
        """Return windows [T + 1, 80, 16], of which the last is the reference's, frames [T, 96, 96, 3],
        the reference [96, 96, 3] and the frames' lips [T, 4].
        """
        clip = self._footage[rng.choice(len(self._footage), p=self._weights)]
        first = int(rng.integers(0, len(clip) - frames + 1))
        other = another_moment(len(clip), first, frames, rng)
        same = rng.random() < self._strength.same
        warp = augment.Warp(self._strength, rng)
        shown = warp.cut([clip.image(first + i) for i in range(frames)])
        beside = shown[0] if same else warp.cut_reference(clip.image(other))
        images = augment.recolour(np.concatenate([shown, beside[None]]), self._strength, rng)
        heard = clip.windows[[*range(first, first + frames), other]]
        mel = augment.revoice(heard, self._strength, rng)
        reference = images[-1]
        if same:
            reference = augment.hide_mouth(reference)
        elif rng.random() < self._strength.hide:
            reference = augment.hide_lips(reference)
        return mel, images[:-1], reference, clip.lips[first : first + frames]

    def _mask_rows(self, clips: int, rng: np.random.Generator) -> NDArray[np.int64]:
        jitter = self._strength.mask
        return WAV2LIP_SIZE // 2 + rng.integers(-jitter, jitter + 1, clips)


def another_moment(length: int, first: int, frames: int, rng: np.random.Generator) -> int:
    """Return a frame of a clip that is not one of `frames` from `first` on, where there is one."""
    outside = length - frames
    if outside <= 0:
        return int(rng.integers(length))
    at = int(rng.integers(outside))
    return at if at < first else at + frames


def assemble(
    mel: NDArray[np.float32],
    target: NDArray[np.float32],
    reference: NDArray[np.float32],
    lips: NDArray[np.float32],
    mask_rows: NDArray[np.int64],
) -> Batch:
    """Return a batch of RGB pictures and what is heard.

    Args:
        mel: [B, T + 1, 80, 16]; the windows of the frames, then that of the reference.
        target: [B, T, 96, 96, 3].
        reference: [B, 96, 96, 3].
        lips: [B, T, 4].
        mask_rows: int64 [B], where the blackened half begins.
    """
    clips, frames = target.shape[:2]
    truth = torch.from_numpy(np.ascontiguousarray(target[..., _BGR])).permute(0, 1, 4, 2, 3)
    other = torch.from_numpy(np.ascontiguousarray(reference[..., _BGR])).permute(0, 3, 1, 2)
    rows = torch.arange(WAV2LIP_SIZE)
    kept = (rows[None] < torch.from_numpy(mask_rows)[:, None]).reshape(clips, 1, 1, WAV2LIP_SIZE, 1)
    faces = torch.cat([truth * kept, other[:, None].expand(-1, frames, -1, -1, -1)], 2)
    windows = torch.from_numpy(mel).reshape(clips, frames + 1, 1, MEL_BINS, MEL_COLUMNS)
    return Batch(windows[:, :-1], faces, truth.contiguous(), windows[:, -1], torch.from_numpy(lips))
