"""A small dataset of painted faces and noisy speech, and generators of random weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from lipserve_export.wav2lip.generator import random_generator, wav2lip_generator
from lipserve_export.wav2lip.network import VARIANTS, Wav2Lip
from lipserve_training.data import store
from lipserve_training.quantize import crops, layers, qdq

FRAMES = 12
CLIPS = {"a0": "a", "a1": "a", "a2": "a", "a3": "a", "b0": "b", "c0": "c"}  # clip: speaker


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    for clip in CLIPS:
        write_clip(folder, clip)
    store.write_index(folder, [entry(clip) for clip in CLIPS])
    return folder


def write_clip(folder: Path, clip: str) -> None:
    source = np.random.default_rng(sum(clip.encode()))
    coarse = source.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    painted = np.asarray(cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_CUBIC), np.uint8)
    images = [store.encode(np.roll(painted, 3 * frame, 0)) for frame in range(FRAMES)]
    samples = (source.normal(0, 0.1, FRAMES * 640) * np.hanning(FRAMES * 640)).astype(np.float32)
    store.write(
        folder,
        clip,
        store.Clip(images, samples, np.zeros((FRAMES, 4)), np.zeros((FRAMES, 468, 3), np.float32)),
    )


def entry(clip: str) -> store.Entry:
    return store.Entry(
        clip=clip, speaker=CLIPS[clip], frames=FRAMES, source=f"{clip}.mp4", sha256="0" * 64,
        first_frame=0, offset=0, sync=0.5,
    )  # fmt: skip


@pytest.fixture(scope="session")
def generator() -> Wav2Lip:
    return random_generator(VARIANTS["compressed"], 3)


@pytest.fixture(scope="session")
def checkpoint(generator: Wav2Lip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "generator.pth"
    torch.save({"state_dict": generator.state_dict(), "mel_offset_ms": -40}, path)
    return path


@pytest.fixture(scope="session")
def graph(generator: Wav2Lip) -> onnx.ModelProto:
    return wav2lip_generator(generator)


@pytest.fixture(scope="session")
def convolutions(generator: Wav2Lip, graph: onnx.ModelProto) -> tuple[layers.Layer, ...]:
    return layers.layers(generator, graph)


@pytest.fixture(scope="session")
def drawn(dataset: Path) -> tuple[crops.Crops, crops.Crops]:
    return crops.draw(dataset, 6, -40, 1)


@pytest.fixture(scope="session")
def int8(graph: onnx.ModelProto, drawn: tuple[crops.Crops, crops.Crops]) -> dict[str, qdq.Int8]:
    return qdq.calibrate(graph, drawn[0], "minmax")
