"""Training examples of the renderer: pairs of neighbouring frames, made from other frames of the clip.

It is shown what the stage shows it (`lipserve.lipwarp.render`): the current picture and the remembered
mouths, moved to the wanted points. The wanted mouth is one that the clip has, so the truth is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipserve.contracts.lipwarp import SHAPES
from lipserve.errors import SetupError
from lipserve.lipwarp.flow import lip_masks, point_flow, warped
from lipserve.lipwarp.geometry import Points
from lipserve.lipwarp.memory import MEMORIES, beside, choose
from lipserve.lipwarp.render import colour_offset
from lipserve_training.data.store import Entry
from lipserve_training.lipwarp import footage, library
from lipserve_training.lipwarp.footage import Footage
from lipserve_training.lipwarp.recipes import RendererRecipe
from lipserve_training.lipwarp.view import Picture, View

APART = 3  # frames: nearer ones than the wanted frame's are not remembered, or nothing would be asked for
SHORTEST = 4 * APART  # frames of a clip
_SEEN = (8, 48)  # frames that the remembered mouths are chosen of, as few as a short clip has
_SHAPE = np.array([1, 0.5, 0.3, 0.3, 0.2, 0.2, 0.1, 0.1])  # of each direction, in a disturbed shape

Frames = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """N frames, in pairs of neighbours: 0 and 1, 2 and 3, ... Pictures are float32 RGB in 0..1.

    Attributes:
        current: [N, 3, S, S].
        memories: [N, 2, 3, S, S].
        flows: [N, 3, 2, G, G], pixels: of the current picture, of the memories.
        moved, memory: [N, 3, S, S], the current picture moved, the memories moved, mixed and made alike.
        lips: [N, 2, S, S], 0..1, inside the inner and the outer contour.
        shares, offsets: [N, 2] of the memories, [N, 3] what their colours lack.
        target: [N, 3, S, S], the truth.
    """

    current: Tensor
    memories: Tensor
    flows: Tensor
    moved: Tensor
    memory: Tensor
    lips: Tensor
    shares: Tensor
    offsets: Tensor
    target: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(tensor.to(device) for tensor in vars(self).values()))


@dataclass(frozen=True)
class Drawn:
    """A batch as it is drawn, the pixel's numbers last: pictures uint8, flows float32 [N, 3, G, G, 2]."""

    current: NDArray[np.uint8]
    memories: NDArray[np.uint8]
    flows: NDArray[np.float32]
    moved: NDArray[np.uint8]
    memory: NDArray[np.uint8]
    lips: NDArray[np.uint8]
    shares: NDArray[np.float32]
    offsets: NDArray[np.float32]
    target: NDArray[np.uint8]

    def to(self, device: torch.device) -> Batch:
        return Batch(**{name: _placed(value, device) for name, value in vars(self).items()})


def _placed(values: NDArray[Any], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(values).to(device, non_blocking=True)
    if values.ndim > 2:
        tensor = tensor.movedim(-1, -3)
    return (tensor.float() / 255 if values.dtype == np.uint8 else tensor).contiguous()


class Pairs:
    """Draws the batch of a step; the same seed and step give the same batch.

    The clips are read at the first draw, in the process that draws.

    Args:
        data: a dataset, or a pack.
        chosen: what is drawn of.
    """

    def __init__(self, data: Path, chosen: Sequence[Entry], recipe: RendererRecipe) -> None:
        self._data, self._recipe = data, recipe
        self._chosen = [entry for entry in chosen if entry.frames >= SHORTEST]
        if not self._chosen:
            raise SetupError(
                f"No clip of {data} has {SHORTEST} frames.",
                "Prepare longer videos, or hold out fewer speakers.",
            )
        self._clips: list[_Clip] = []

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_clips": []}

    def __call__(self, step: int) -> Drawn:
        return self.batch(np.random.default_rng((self._recipe.run.seed, step)))

    def batch(self, rng: np.random.Generator) -> Drawn:
        """Return a batch of the recipe's size."""
        if not self._clips:
            self._clips = [_Clip(library.read(self._data, entry)) for entry in self._chosen]
            clips = [clip.footage for clip in self._clips]
            data = self._recipe.data
            self._chances = footage.weights(clips, data.speaker_power, data.favour)
        frames = []
        for _ in range(self._recipe.run.pairs):
            clip = self._clips[rng.choice(len(self._clips), p=self._chances)]
            frames += _pair(clip, self._recipe, rng)
        return Drawn(*(np.stack(values) for values in zip(*frames, strict=True)))


class _Clip:
    """Footage with its pictures, and how sharp they are."""

    def __init__(self, clip: Footage) -> None:
        assert clip.mouths is not None
        self.footage, self.mouths = clip, clip.mouths
        self.sharpness = footage.sharpness(clip.mouths)


def _pair(clip: _Clip, recipe: RendererRecipe, rng: np.random.Generator) -> list[tuple[NDArray[Any], ...]]:
    """Return what `Drawn` holds of two neighbouring frames of a clip."""
    how, own = recipe.augment, clip.footage
    wanted = int(rng.integers(0, len(own) - 1))
    current = wanted if rng.random() < how.same else int(rng.integers(0, len(own) - 1))
    kept = _remembered(clip, wanted, how.few, rng)
    shapes = own.shapes[wanted : wanted + 2] + rng.normal(0, 1, SHAPES) * how.shape * _SHAPE
    order, shares = beside(shapes, own.shapes[kept])
    view = View(how, own.placement, rng)
    lights = rng.normal(0, 1, (len(kept), 3)) * how.memory_light
    pictures: dict[int, Picture] = {}
    frames = []
    for step in (0, 1):
        for number in order[step]:
            if number not in pictures:
                pictures[number] = view.picture(clip.mouths[kept[number]], lights[number])
        sources = [current + step, *kept[order[step]]]
        frames.append(
            _frame(
                view.picture(clip.mouths[current + step]),
                [pictures[number] for number in order[step]],
                view.points(own.points[wanted + step]),
                view.points(own.points[sources]),
                shares[step],
                view.picture(clip.mouths[wanted + step]),
            )
        )
    return frames


def _remembered(clip: _Clip, wanted: int, few: float, rng: np.random.Generator) -> Frames:
    """Return the frames that are remembered, of some that lie apart from the wanted ones."""
    at = np.arange(len(clip.footage))
    free = at[(at < wanted - APART) | (at > wanted + 1 + APART)]
    seen = rng.choice(free, min(len(free), int(rng.integers(*_SEEN))), replace=False)
    count = int(rng.integers(1, MEMORIES + 1)) if rng.random() < few else MEMORIES
    return np.asarray(seen[choose(clip.footage.shapes[seen], clip.sharpness[seen], count)])


def _frame(
    current: Picture,
    memories: list[Picture],
    wanted: Points,
    sources: Points,
    shares: NDArray[np.float32],
    target: Picture,
) -> tuple[NDArray[Any], ...]:
    """Return what `Drawn` holds of one frame, in its order.

    Args:
        wanted: [133, 2]. sources: [3, 133, 2], of the current picture and the memories.
    """
    flows = point_flow(wanted, sources)
    moved, *other = (warped(picture, flow) for picture, flow in zip((current, *memories), flows, strict=True))
    lips = lip_masks(wanted)
    mixed = sum(share * picture.astype(np.float32) for share, picture in zip(shares, other, strict=True))
    offset = colour_offset(moved, np.asarray(mixed), lips[..., 1])
    memory = np.clip(mixed + offset, 0, 255).astype(np.uint8)
    return current, np.stack(memories), flows, moved, memory, lips, shares, offset / np.float32(255), target
