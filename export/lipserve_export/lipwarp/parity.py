"""The exported renderer on ONNX Runtime against the PyTorch module that it is of."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from lipserve.contracts.lipwarp import LIP_RENDERER
from lipserve_export.graphs.parity import difference, within
from lipserve_export.graphs.runtime import run, session
from lipserve_export.graphs.verify import sample_inputs
from lipserve_export.lipwarp.renderer_network import FARTHEST, LipRenderer

RENDERER_TOLERANCE = 1e-4  # of a level's range or the farthest flow, before rounding to 8 bits


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
    return within(RENDERER_TOLERANCE, differences)


def renderer_outputs(model: LipRenderer, pictures: dict[str, NDArray[np.uint8]]) -> dict[str, NDArray[Any]]:
    """Return what a renderer gives for the contract's inputs, in its layout and units, but not rounded."""
    levels = np.concatenate([pictures[tensor.name] for tensor in LIP_RENDERER.inputs], axis=3)
    with torch.inference_mode():
        flow, *shares = model(torch.from_numpy(levels / np.float32(127.5) - 1).permute(0, 3, 1, 2))
    results = [flow, *(255 * share for share in shares)]
    names = [tensor.name for tensor in LIP_RENDERER.outputs]
    return {name: value.permute(0, 2, 3, 1).numpy() for name, value in zip(names, results, strict=True)}
