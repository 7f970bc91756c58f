"""A PyTorch module into a model repository: exported as a leaf, compared, written in both precisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
from torch import nn

from lipserve.contracts import Form, Model
from lipserve_export.graphs import manifest
from lipserve_export.graphs.dynamo import export
from lipserve_export.graphs.flops import gflop
from lipserve_export.graphs.fp16 import mixed_fp16
from lipserve_export.graphs.parity import Arrays, check, plausible_inputs
from lipserve_export.graphs.runtime import AFFORDABLE_MACS


@dataclass(frozen=True)
class Origin:
    """Where a leaf's weights come from, which network they are of; the shapes of a quality tier's leaf."""

    weights: str
    variant: str
    form: Form | None = None


def write_leaf(
    repository: Path,
    contract: Model,
    module: nn.Module,
    origin: Origin,
    say: Callable[[str], None],
    inputs: Arrays | None = None,
    keep: Sequence[str] = (),
) -> None:
    """Write the leaf of that contract, both precisions and their manifest.

    Args:
        inputs: what PyTorch and ONNX Runtime are compared on; by default seeded ones of plausible size.
        keep: of `fp16.mixed_fp16`.

    Raises:
        SetupError: it does not export, the two differ, a weight is beyond half precision, or the repository
            cannot be written; what was there before is still there.
    """
    name, form = contract.name, origin.form
    say(f"{name}: {origin.variant}, {origin.weights}")
    full = export(module, contract)
    macs = round(gflop(module, contract) * 1e9 / 2)
    if macs <= AFFORDABLE_MACS:
        largest = check(module, full, contract, inputs or plausible_inputs(contract, 1))
        say(f"{name}: PyTorch and ONNX Runtime agree within {largest:.1e}")
    else:
        say(f"{name}: {macs / 1e12:.1f} T multiplications, not compared here: `make parity-full` does it")
    described = manifest.Manifest(
        model=name,
        weights=origin.weights,
        variant=origin.variant,
        parameters=learnt(module, full),
        macs=macs,
        resolution=form.resolution if form else None,
        channels=form.channels if form else None,
    )
    manifest.write(repository, described, {"fp32": full, "fp16": mixed_fp16(full, keep)})


def learnt(module: nn.Module, graph: ir.Model) -> int:
    """Return how many parameters of a module its graph uses: those of the modules that nodes come from."""
    scopes = {str(node.name).rpartition("/")[0].replace("/", ".") for node in graph.graph}
    owners = [module.get_submodule(scope) for scope in scopes]
    return sum(parameter.numel() for owner in owners for parameter in owner.parameters(recurse=False))
