"""Hold the graphs of a repository to their contracts and run each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lipserve.contracts import NUMPY, Model, Tensor
from lipserve.engine_store import fault, models_digest, stored_keys
from lipserve.errors import SetupError
from lipserve_export.fetch.files import file_sha256
from lipserve_export.graphs import manifest
from lipserve_export.graphs.graph import DTYPES
from lipserve_export.graphs.held import held
from lipserve_export.graphs.runtime import AFFORDABLE_MACS, run, session

_BATCHES = (1, 3)


def verify(repository: Path, say: Callable[[str], None]) -> None:
    """Check every leaf model of the tiers that a repository holds; SetupError names the first fault.

    Checked: the manifest and its digests, names, types and shapes against the contract, and a run at
    two batch sizes whose outputs have the right shape and are finite; that the TensorRT plans of these
    graphs are all there and whole. A graph too large to be run here is said to be so.
    """
    manifests: dict[str, manifest.Manifest] = {}
    for contract in held(repository):
        folder = manifest.folder(repository, contract.name)
        described = manifests[contract.name] = manifest.read(repository, contract.name)
        for file in described.files:
            if file_sha256(folder / file.name) != file.sha256:
                raise _fault(folder / file.name, "its sha256 is not the manifest's")
        batches = [batch for batch in _batches(contract) if batch * described.macs <= AFFORDABLE_MACS]
        for graph in described.graphs.values():
            path = folder / graph.name
            check_signature(onnx.load(path, load_external_data=False), contract, path)
            _check_run(path, contract, batches)
        names = ", ".join(file.name for file in described.graphs.values())
        runs = "signature, digest and runs are right"
        if not batches:
            runs = f"signature and digest are right; not run: {described.macs / 1e12:.1f} T multiplications"
        say(f"{contract.name}: {described.variant}, {names}: {runs}")
    _check_plans(repository, manifests)


def _batches(contract: Model) -> list[int]:
    return sorted({min(batch, contract.max_batch_size) for batch in _BATCHES})


def check_signature(graph: onnx.ModelProto, contract: Model, path: Path) -> None:
    """Raise SetupError where a graph's inputs or outputs are not the contract's."""
    initializers = {tensor.name for tensor in graph.graph.initializer}
    inputs = [value for value in graph.graph.input if value.name not in initializers]
    for values, wanted in ((inputs, contract.inputs), (graph.graph.output, contract.outputs)):
        found = {value.name: _describe(value) for value in values}
        expected = {tensor.name: (DTYPES[tensor.dtype], [None, *tensor.dims]) for tensor in wanted}
        if found != expected:
            raise _fault(path, f"its signature is {found}, the contract says {expected}")


def _describe(value: onnx.ValueInfoProto) -> tuple[int, list[int | None]]:
    tensor = value.type.tensor_type
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    return tensor.elem_type, sizes


def _check_run(path: Path, contract: Model, batches: Sequence[int]) -> None:
    if not batches:
        return
    running = session(path)
    for batch in batches:
        outputs = run(running, sample_inputs(contract.inputs, batch))
        for tensor in contract.outputs:
            array = outputs[tensor.name]
            if array.shape != (batch, *tensor.dims) or array.dtype != NUMPY[tensor.dtype]:
                raise _fault(path, f"{tensor.name} came out as {array.dtype} {list(array.shape)}")
            if not np.isfinite(array).all():
                raise _fault(path, f"{tensor.name} is not finite")


def _check_plans(repository: Path, manifests: Mapping[str, manifest.Manifest]) -> None:
    """Raise SetupError where a plan of the repository's graphs is missing, foreign or damaged."""
    for precision in manifest.FILES:
        graphs = {leaf: described.graphs.get(precision) for leaf, described in manifests.items()}
        digests = {leaf: graph.sha256 for leaf, graph in graphs.items() if graph is not None}
        own = [key for key in stored_keys(repository) if key.models == models_digest(digests.values())]
        for key, (leaf, digest) in product(own, digests.items()):
            wrong = fault(key.plan(repository, leaf), key, digest)
            if wrong:
                raise SetupError(f"{wrong}.", "Run `lipserve-export engines` again.")


def sample_inputs(tensors: Sequence[Tensor], batch: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Return seeded noise for the inputs of a leaf: 0..255 for pictures, -4..4 for a mel."""
    source = np.random.default_rng(seed)
    return {
        tensor.name: source.integers(0, 256, (batch, *tensor.dims), np.uint8)
        if tensor.dtype == "UINT8"
        else source.uniform(-4, 4, (batch, *tensor.dims)).astype(NUMPY[tensor.dtype])
        for tensor in tensors
    }


def _fault(path: Path, what: str) -> SetupError:
    return SetupError(f"{path}: {what}.", "Export the model again.")
