"""Two runs of one network compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from lipserve.contracts import MEL_BINS, MEL_COLUMNS, WAV2LIP_SIZE
from lipserve.contracts.lipwarp import LIP_RENDERER
from lipserve.errors import SetupError
from lipserve_export.generator import wav2lip_network
from lipserve_export.models.lip_renderer import FARTHEST, LipRenderer
from lipserve_export.models.wav2lip import Wav2Lip
from lipserve_export.runtime import run, session
from lipserve_export.verify import sample_inputs

WAV2LIP_TOLERANCE = 1e-4  # of the sigmoid, before rounding to 8 bits
RENDERER_TOLERANCE = 1e-4  # of a level's range or the farthest flow, before rounding to 8 bits
_SWAPPED = [2, 1, 0, 5, 4, 3]


@dataclass(frozen=True)
class Difference:
    """How far a result is from the reference: largest error, cosine, and RMS error over RMS value."""

    largest: float
    cosine: float
    relative_rms: float


def difference(result: NDArray[Any], reference: NDArray[Any]) -> Difference:
    """Compare two arrays of one shape, in float64."""
    if result.shape != reference.shape:
        raise ValueError(f"shapes differ: {result.shape} and {reference.shape}")
    got, wanted = result.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    error = got - wanted
    norms = float(np.linalg.norm(got) * np.linalg.norm(wanted))
    scale = float(np.linalg.norm(wanted))
    return Difference(
        largest=float(np.abs(error).max()),
        cosine=float(got @ wanted) / norms if norms else float(not error.any()),
        relative_rms=float(np.linalg.norm(error)) / scale if scale else float(np.linalg.norm(error)),
    )


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
    return _within(WAV2LIP_TOLERANCE, differences)


def check_renderer(model: LipRenderer, graph: onnx.ModelProto, batches: tuple[int, ...] = (1, 3)) -> float:
    """Return by how much a renderer's graph on ONNX Runtime differs from PyTorch more than rounding explains.

    The unit is the range of each output: the farthest flow, 255 levels. SetupError above the tolerance.
    """
    running = session(graph)
    differences = []
    for batch in batches:
        pictures = sample_inputs(LIP_RENDERER.inputs, batch, seed=batch)
        exported = run(running, pictures)
        for name, reference in renderer_outputs(model, pictures).items():
            error = difference(exported[name], reference).largest
            differences.append(error / FARTHEST if name == "FLOW" else max(0.0, error - 0.5) / 255)
    return _within(RENDERER_TOLERANCE, differences)


def renderer_outputs(model: LipRenderer, pictures: dict[str, NDArray[np.uint8]]) -> dict[str, NDArray[Any]]:
    """Return what a renderer gives for the contract's inputs, in its layout and units, but not rounded."""
    levels = np.concatenate([pictures[tensor.name] for tensor in LIP_RENDERER.inputs], axis=3)
    with torch.inference_mode():
        flow, *shares = model(torch.from_numpy(levels / np.float32(127.5) - 1).permute(0, 3, 1, 2))
    results = [flow, *(255 * share for share in shares)]
    names = [tensor.name for tensor in LIP_RENDERER.outputs]
    return {name: value.permute(0, 2, 3, 1).numpy() for name, value in zip(names, results, strict=True)}


def _within(tolerance: float, differences: list[float]) -> float:
    largest = float(np.max(differences))  # not max(): that loses a NaN
    if not largest <= tolerance:
        raise SetupError(
            f"ONNX Runtime differs from PyTorch by {largest:.2e}, above {tolerance:.0e}.",
            "Nothing was written: the weights overflow or are damaged. Give another checkpoint.",
        )
    return largest
