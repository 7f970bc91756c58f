"""Two runs of one network compared: an exported graph on ONNX Runtime, and the module that it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import nn

from lipserve.contracts import Model, Tensor
from lipserve.errors import SetupError
from lipserve_export.graphs.runtime import run, session

TOLERANCE = 1e-4  # of a value of 1; of the largest of an output that goes beyond, a VAE's unscaled mean, say
Arrays = dict[str, NDArray[np.float32]]


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


def within(tolerance: float, differences: list[float]) -> float:
    """Return the largest of some differences; SetupError above the tolerance."""
    largest = float(np.max(differences))  # not max(): that loses a NaN
    if not largest <= tolerance:
        raise SetupError(
            f"ONNX Runtime differs from PyTorch by {largest:.2e}, above {tolerance:.0e}.",
            "Nothing was written: the weights overflow or are damaged. Give another checkpoint.",
        )
    return largest


def plausible_inputs(contract: Model, batch: int, seed: int = 0) -> Arrays:
    """Return seeded inputs of a leaf of the size of real ones, float32 [batch, ...]."""
    source = np.random.default_rng(seed)
    return {tensor.name: _plausible(source, tensor, batch) for tensor in contract.inputs}


def _plausible(source: np.random.Generator, tensor: Tensor, batch: int) -> NDArray[np.float32]:
    shape = (batch, *tensor.dims)
    drawn: NDArray[np.generic]
    if tensor.name == "MASK":
        drawn = source.integers(0, 2, shape)
    elif tensor.name == "TIMESTEP":
        drawn = source.integers(0, 1000, shape)
    elif tensor.name == "GUIDANCE":
        drawn = source.uniform(1, 3, shape)
    elif tensor.name in ("IMAGES", "MEL"):
        drawn = source.uniform(-1, 1, shape)
    else:  # latents, noise, states of Whisper, features, coefficients
        drawn = source.standard_normal(shape)
    return drawn.astype(np.float32)


def of_module(module: nn.Module, contract: Model, inputs: Arrays) -> Arrays:
    """Return a module's outputs by the contract's names, computed in the precision of its weights."""
    precision = next(module.parameters()).dtype
    given = [torch.from_numpy(inputs[tensor.name]).to(precision) for tensor in contract.inputs]
    with torch.inference_mode():
        results = module(*given)
    results = results if isinstance(results, tuple) else (results,)
    return {tensor.name: result.numpy() for tensor, result in zip(contract.outputs, results, strict=True)}


def of_graph(graph: ir.Model, inputs: Arrays, optimised: bool = True) -> Arrays:
    """Return the outputs of a graph of less than 2 GB; for `optimised` see `runtime.session`."""
    return run(session(ir.to_proto(graph), optimised), inputs)


def differences(results: Arrays, references: Arrays) -> dict[str, Difference]:
    """Compare each output with its reference."""
    return {name: difference(results[name], reference) for name, reference in references.items()}


def check(module: nn.Module, graph: ir.Model, contract: Model, inputs: Arrays) -> float:
    """Return the largest difference between PyTorch and ONNX Runtime over the tolerance's unit.

    Raises:
        SetupError: it is above the tolerance.
    """
    references = of_module(module, contract, inputs)
    found = differences(of_graph(graph, inputs), references)
    units = {name: max(1.0, float(np.abs(array).max())) for name, array in references.items()}
    largest = float(np.max([one.largest / units[name] for name, one in found.items()]))
    if not largest <= TOLERANCE:
        raise SetupError(
            f"{contract.name}: ONNX Runtime differs from PyTorch by {largest:.2e}, above {TOLERANCE:.0e}.",
            "Nothing was written: the weights overflow or are damaged. Give another checkpoint.",
        )
    return largest
