"""Crops as the server cuts them, drawn from a dataset: some to calibrate with, others to judge on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve.errors import SetupError
from lipserve_training.data import augment, store
from lipserve_training.data.sampler import Footage

_BATCH = 16


@dataclass(frozen=True)
class Crops:
    """Inputs of the served generator, and their origin; the true picture of a crop is the crop itself.

    Attributes:
        mel: float32 [N, 1, 80, 16], the window that each frame hears.
        faces: uint8 [N, 96, 96, 3] RGB.
        clips: the dataset's clips that they were drawn from.
    """

    mel: NDArray[np.float32]
    faces: NDArray[np.uint8]
    clips: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.mel)

    def batches(self) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield inputs of the contract WAV2LIP_GENERATOR."""
        for first in range(0, len(self), _BATCH):
            part = slice(first, first + _BATCH)
            yield {"MEL": self.mel[part], "FACES": self.faces[part]}


def draw(dataset: Path, samples: int, offset_ms: float, seed: int) -> tuple[Crops, Crops]:
    """Return `samples` crops to calibrate with and as many to judge on (fewer where there are no more).

    No clip gives to both. Speakers take turns, so that one who talks much does not dominate.

    Args:
        offset_ms: of the mel windows: what the generator is served with.

    Raises:
        SetupError: not a dataset, an empty one, one of a single clip, or a damaged one.
    """
    rng = np.random.default_rng(seed)
    clips = _by_turns(store.read_index(dataset), rng)
    if len(clips) < 2:
        raise SetupError(
            f"{dataset} contains one clip; calibration and evaluation need different clips.",
            "Prepare a dataset of two clips or more.",
        )
    calibrating, judging = (
        _crops(dataset, half, samples, offset_ms, rng) for half in (clips[::2], clips[1::2])
    )
    return calibrating, judging


def _by_turns(entries: list[store.Entry], rng: np.random.Generator) -> list[store.Entry]:
    """Return the clips shuffled so that each speaker's first comes before any speaker's second."""
    speakers: dict[str, list[store.Entry]] = defaultdict(list)
    for index in rng.permutation(len(entries)):
        speakers[entries[index].speaker].append(entries[index])
    return [entry for entry in chain.from_iterable(zip_longest(*speakers.values())) if entry]


def _crops(
    dataset: Path, entries: list[store.Entry], samples: int, offset_ms: float, rng: np.random.Generator
) -> Crops:
    taken = entries[:samples]
    uncut = augment.Warp(augment.NONE, rng)
    mel, faces = [], []
    for number, entry in enumerate(taken):
        footage = Footage(dataset, entry.clip, offset_ms, decoded=False)
        share = (samples * (number + 1)) // len(taken) - (samples * number) // len(taken)
        frames = np.sort(rng.permutation(len(footage))[:share])
        mel.append(footage.windows[frames])
        faces.append(uncut.cut([footage.image(int(frame)) for frame in frames]))
    return Crops(
        np.concatenate(mel)[:, None], np.concatenate(faces), tuple(sorted(entry.clip for entry in taken))
    )
