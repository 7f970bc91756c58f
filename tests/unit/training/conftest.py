"""A tiny dataset, written as `prepare` writes one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lipserve_training.data import store

SPEAKERS = {"ann": 2, "ben": 1, "cid": 1}  # clips of each
FRAMES = 12


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of smooth random pictures and noise: 4 clips of 12 frames by 3 speakers."""
    folder = tmp_path_factory.mktemp("dataset")
    rng = np.random.default_rng(5)
    entries = []
    for speaker, clips in SPEAKERS.items():
        for number in range(clips):
            name = f"{speaker}_{number}"
            store.write(folder, name, _clip(rng))
            entries.append(
                store.Entry(
                    clip=name, speaker=speaker, frames=FRAMES, source=f"{speaker}/{number}.mp4",
                    sha256="0" * 64, first_frame=0, offset=0, sync=0.5,
                )
            )  # fmt: skip
    store.write_index(folder, entries)
    return folder


def _clip(rng: np.random.Generator) -> store.Clip:
    coarse = rng.integers(0, 256, (FRAMES, 6, 6, 3), np.uint8)
    images = [store.encode(cv2.resize(image, (256, 256), interpolation=cv2.INTER_CUBIC)) for image in coarse]
    samples = 0.1 * rng.standard_normal(FRAMES * 640)
    return store.Clip(images, samples.astype(np.float32), np.zeros((FRAMES, 4)))
