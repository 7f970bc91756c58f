"""A tiny dataset, written as `prepare` writes one, and one of real sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.lipwarp.points import INNER, MOVED, OUTER, RIGID
from lipserve.lipwarp.shapes import shipped_basis
from lipserve.quality import lips
from lipserve_training.data import prepare, store
from lipserve_training.data.videos import find

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


@pytest.fixture(scope="session")
def grid(
    tmp_path_factory: pytest.TempPathFactory, exported: Path, shared_data: Callable[[str], Path]
) -> Path:
    """A dataset of two sentences of GRID, of s5 and s22."""
    folder = tmp_path_factory.mktemp("grid")
    for speaker, name in (("s5", "lbax4n"), ("s22", "lbbc2a")):
        (folder / "in" / speaker).mkdir(parents=True)
        (folder / "in" / speaker / f"{name}.mpg").symlink_to(shared_data(f"video/LipNet__{name}.mpg"))
    settings = prepare.Settings(exported, "trust", -1)
    prepare.prepare(find([folder / "in"], {}), folder / "data", settings, 1, lambda _: None)
    return folder / "data"


@pytest.fixture(scope="session")
def talking() -> Callable[[NDArray[np.float64]], NDArray[np.float32]]:
    """Return a function that gives meshes [F, 468, 3] of a face whose lips have shapes [F, 8]."""
    return _talking


def _clip(rng: np.random.Generator) -> store.Clip:
    coarse = rng.integers(0, 256, (FRAMES, 6, 6, 3), np.uint8)
    images = [store.encode(cv2.resize(image, (256, 256), interpolation=cv2.INTER_CUBIC)) for image in coarse]
    samples = (0.1 * rng.standard_normal(FRAMES * 640)).astype(np.float32)
    shapes = rng.normal(0, 0.02, (FRAMES, 8))
    shapes[:, 0] = 0.3 + 0.3 * np.sin(np.arange(FRAMES) + rng.uniform(0, 6))
    meshes = _talking(shapes)
    return store.Clip(images, samples, lips.measure(meshes), meshes)


def _talking(shapes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Meshes [F, 468, 3] in sides of the unit face crop of a face whose lips have these shapes [F, 8]."""
    basis, around = shipped_basis(), np.random.default_rng(1)
    face = around.uniform(-0.8, 0.8, (468, 3)) * [1, 1, 0.3] + [0, 0.6, 0]
    face[1], face[152] = (0, 0.45, 0), (0, 1.3, 0)  # tip of the nose, chin
    turn = np.linspace(np.pi, -np.pi, 20, endpoint=False)  # from the corner on the left, below to the right
    for contour, height in ((OUTER, 0.18), (INNER, 0.02)):
        ring = np.stack([0.3 * np.cos(turn), 0.9 + height * np.sin(turn), 0 * turn], 1)
        face[MOVED[contour]] = ring
    series = np.repeat(face[None], len(shapes), 0)
    series[:, MOVED] += np.tensordot(shapes, basis.directions, 1)
    series[:, RIGID] = basis.rigid - (basis.rigid[0] + basis.rigid[3]) / 2
    return (series * 0.44 + [0.5, 0.32, 0]).astype(np.float32)
