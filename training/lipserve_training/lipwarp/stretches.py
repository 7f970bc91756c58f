"""Training examples of the lip motion: stretches of clips as heard, with the true lip shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipserve.contracts.lipwarp import SHAPES
from lipserve.lipwarp.shapes import Series
from lipserve_export.lipwarp.motion_network import SILENCE
from lipserve_training.lipwarp import footage
from lipserve_training.lipwarp.footage import Footage
from lipserve_training.lipwarp.hearing import Heard
from lipserve_training.lipwarp.phones import UNKNOWN, Labels
from lipserve_training.lipwarp.recipes import MotionRecipe

Shapes = NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """Stretches of N frames, B for each of M members.

    Attributes:
        heard: float32 [M, B, 2 N, D].
        shapes: float32 [M, B, N, K], over the speaker's reach.
        phones: int64 [M, B, 2 N], UNKNOWN where nobody has told.
        valid: bool [M, B, N]: a stretch may be shorter.
    """

    heard: Tensor
    shapes: Tensor
    phones: Tensor
    valid: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in vars(self).values()))


class Stretches:
    """Draws the batch of a step; the same seed and step give the same batch.

    Args:
        clips: that are trained on; what is heard in others beside them is left out.
        labels: the phones of each clip.

    Attributes:
        shapes: float32 [N, K], all that the clips' lips do, over their speakers' reaches.
    """

    def __init__(
        self,
        clips: Sequence[Footage],
        labels: Sequence[Labels],
        heard: Heard,
        recipe: MotionRecipe,
        members: int,
    ) -> None:
        self._labels, self._recipe, self._members = labels, recipe, members
        self._stretches = [stretch for stretch in heard.stretches if stretch.clip < len(clips)]
        chances = footage.weights(clips, recipe.data.speaker_power, {})
        of_clip = np.bincount([stretch.clip for stretch in self._stretches], minlength=len(clips))
        self._chances = np.array([chances[s.clip] / of_clip[s.clip] for s in self._stretches])
        reaches = footage.reaches(clips)
        self._shapes = [(clip.shapes / reaches[clip.entry.speaker]).astype(np.float32) for clip in clips]
        self._sounds = heard.taught
        self.shapes = np.concatenate(self._shapes)

    def __call__(self, step: int) -> Batch:
        run = self._recipe.run
        rng = np.random.default_rng((run.seed, step))
        drawn = [self._draw(run.frames, rng) for _ in range(self._members * run.stretches)]
        return Batch(*(self._stacked(parts) for parts in zip(*drawn, strict=True)))

    def _stacked(self, parts: Sequence[NDArray[Any]]) -> Tensor:
        stacked = np.stack(parts)
        return torch.from_numpy(stacked.reshape(self._members, -1, *stacked.shape[1:]))

    def _draw(
        self, frames: int, rng: np.random.Generator
    ) -> tuple[Shapes, Shapes, Labels, NDArray[np.bool_]]:
        """Return what is heard [2 N, D], shapes [N, K], phones [2 N] and which frames there are [N]."""
        if len(self._sounds) and rng.random() < self._recipe.hearing.quiet:
            return self._quiet(frames, rng)
        stretch = self._stretches[rng.choice(len(self._stretches), p=self._chances)]
        at = int(rng.integers(0, max(1, len(stretch) - frames + 1)))
        count = min(frames, len(stretch) - at)
        missing, places = frames - count, stretch.places[at : at + count]
        heard = np.pad(stretch.values[2 * at : 2 * (at + count)], ((0, 2 * missing), (0, 0)), mode="edge")
        shown = np.pad(_between(self._shapes[stretch.clip], places), ((0, missing), (0, 0)))
        phones = np.pad(_said(self._labels[stretch.clip], places), (0, 2 * missing), constant_values=UNKNOWN)
        return heard.astype(np.float32), shown, phones, np.arange(frames) < count

    def _quiet(
        self, frames: int, rng: np.random.Generator
    ) -> tuple[Shapes, Shapes, Labels, NDArray[np.bool_]]:
        """Return a stretch of a sound that is no speech: the mouth is closed, and silence is said."""
        sound = self._sounds[rng.integers(len(self._sounds))]
        at = int(rng.integers(0, len(sound) - 2 * frames + 1))
        heard = sound[at : at + 2 * frames].astype(np.float32)
        still = np.zeros((frames, SHAPES), np.float32)
        return heard, still, np.full(2 * frames, SILENCE), np.ones(frames, bool)


def _between(shapes: Shapes, places: Series) -> Shapes:
    """Return shapes [n, K] at places [n] between the frames."""
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, len(shapes) - 1)
    part = (places - low).astype(np.float32)[:, None]
    return np.asarray(shapes[low] + part * (shapes[high] - shapes[low]), np.float32)


def _said(labels: Labels, places: Series) -> Labels:
    """Return the phones of rows [2 n] of frames that lie at places [n] of a clip."""
    rows = np.round(2 * places).astype(int)[:, None] + [0, 1]
    return np.asarray(labels[np.minimum(rows.flatten(), len(labels) - 1)])
