"""The exported generator on ONNX Runtime against the PyTorch module that it is of."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lipserve.contracts import MEL_BINS, MEL_COLUMNS, WAV2LIP_SIZE
from lipserve_export.graphs.parity import difference, within
from lipserve_export.graphs.runtime import run, session
from lipserve_export.wav2lip.generator import wav2lip_network
from lipserve_export.wav2lip.network import Wav2Lip

WAV2LIP_TOLERANCE = 1e-4  # of the sigmoid, before rounding to 8 bits
_SWAPPED = [2, 1, 0, 5, 4, 3]


def wav2lip_inputs(batch: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return seeded mel [B, 1, 80, 16] in -4..4 and RGB faces [B, 6, 96, 96] in 0..1, masked first."""
    source = np.random.default_rng(seed)
    mel = source.uniform(-4, 4, (batch, 1, MEL_BINS, MEL_COLUMNS)).astype(np.float32)
    whole = source.random((batch, 3, WAV2LIP_SIZE, WAV2LIP_SIZE), np.float32)
    masked = whole.copy()
    masked[:, :, WAV2LIP_SIZE // 2 :] = 0
    return mel, np.concatenate([masked, whole], axis=1)


def check_wav2lip(model: Wav2Lip, batches: tuple[int, ...] = (1, 3)) -> float:
    """Return the largest difference between PyTorch and ONNX Runtime; SetupError above the tolerance.

    PyTorch runs the generator as it was loaded: BatchNorm unfolded, BGR.
    """
    running = session(wav2lip_network(model))
    differences = []
    for batch in batches:
        mel, faces = wav2lip_inputs(batch, seed=batch)
        with torch.inference_mode():
            bgr = model(torch.from_numpy(mel), torch.from_numpy(faces[:, _SWAPPED]))
        exported = run(running, {"MEL": mel, "FACES": faces})["GENERATED"]
        differences.append(difference(exported, bgr.numpy()[:, ::-1]).largest)
    return within(WAV2LIP_TOLERANCE, differences)
