"""A painted clip that moves, with noise for speech; a checkpoint of random weights."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lipserve import align
from lipserve.files.picture import Colour, Picture
from lipserve_export.wav2lip.generator import random_generator
from lipserve_export.wav2lip.network import VARIANTS
from lipserve_training.evaluate.clips import Clip

FRAMES = 12
FACE = 120.0  # pixels, side of the face crop


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    state = random_generator(VARIANTS["compressed"], 5).state_dict()
    torch.save({"state_dict": state, "mel_offset_ms": -40.0}, path)
    return path


@pytest.fixture(scope="session")
def clip() -> Clip:
    rng = np.random.default_rng(3)
    noise = cv2.GaussianBlur(rng.integers(0, 256, (240, 200), np.uint8), (0, 0), 3)
    pictures = []
    for frame in range(FRAMES):
        y = np.roll(noise, frame, 1)
        half = np.asarray(cv2.resize(y, (100, 120)), np.uint8)
        pictures.append(Picture(np.asarray(y, np.uint8), half // 2 + 64, 192 - half // 2, Colour()))
    mesh = rng.uniform(-1, 1, (468, 2)) * [50, 60] + [100, 120]
    mesh[list(align.RIGID_POINTS)] = align.TEMPLATE * FACE + [40, 60]
    landmarks = np.repeat(mesh[None], FRAMES, 0) + np.arange(FRAMES)[:, None, None] * [1.0, 0.0]
    return Clip(
        name="painted",
        speaker="nobody",
        split="heldout",
        first=0,
        pictures=pictures,
        transforms=align.estimate(landmarks.astype(np.float32)),
        landmarks=landmarks,
        pixel_aspect=Fraction(1),
        samples=rng.normal(0, 0.1, FRAMES * 640).astype(np.float32),
        offset=0,
        in_sync=True,
    )


@pytest.fixture
def marked(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a Markdown document."""

    def write(text: str) -> Path:
        path = tmp_path / "document.md"
        path.write_text(text)
        return path

    return write
