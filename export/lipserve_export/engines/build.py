"""`lipserve export engines`: build TensorRT engines into a model store."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from lipserve.contracts import Model
from lipserve.engine_store import ENGINES, EngineKey, EngineRecord, Flavour, Precision, fault, graph_digests
from lipserve.errors import SetupError
from lipserve_export.engines.store import place, sweep
from lipserve_export.engines.tensorrt import Build, build, builder_version, compute_capability
from lipserve_export.fetch.files import file_sha256, sha256
from lipserve_export.graphs import manifest
from lipserve_export.graphs.held import held

_ALWAYS_FP32 = ("NORMALIZATION", "SOFTMAX")
_WANTED = (*_ALWAYS_FP32, "CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
_EMBEDDING = "time_embedding"  # in the names of the layers that come of the timestep's embedding
_NAMED = 5  # layers in a message
_DTYPES = {"fp32": ("FLOAT", "Float"), "fp16": ("HALF", "Half")}


def build_engines(
    store: Path,
    say: Callable[[str], None],
    target: str | None = None,
    precision: Precision = "fp16",
) -> Path:
    """Build the plan of every leaf model that is not there yet, and return the folder that holds them all.

    Without `target`: with `tensorrt`, for the GPU of this machine, as `model.plan`. With one (`sm80`):
    with `tensorrt_rtx`, without any GPU, as `check.plan`: it proves that the graph parses and builds in its
    precisions, and can be loaded neither by Triton nor by TensorRT.

    Raises:
        SetupError: there is no GPU or no builder, a graph is refused, or the store cannot be written.
    """
    started = time.monotonic()
    flavour: Flavour = "tensorrt" if target is None else "tensorrt_rtx"
    capability = target or compute_capability()
    contracts = held(store)
    digests = graph_digests(store, [contract.name for contract in contracts], precision)
    key = EngineKey.of(capability, flavour, builder_version(flavour), digests.values())
    folder = store / ENGINES / str(key)
    sweep(folder)
    new = 0
    for number, contract in enumerate(contracts, 1):
        ahead = f"[{number}/{len(contracts)}] {contract.name}"
        path = key.plan(store, contract.name)
        if fault(path, key, digests[contract.name]) is None:
            say(f"{ahead}: there already")
            continue
        graph = _graph(store, contract, precision)
        say(f"{ahead}: building {precision} for {capability} with {flavour}")
        built = build(flavour, graph, contract, target)
        check_precision(built, precision, contract)
        first = _place(path, built, _record(built, graph, precision, capability), key)
        new += first
        say(f"{ahead}: {summary(built)}{'' if first else '; another builder was first, its plan stays'}")
    use = "for serving" if target is None else "for checking only"
    say(
        f"{folder}: {len(contracts)} plans {use}, {new} of them new, after {time.monotonic() - started:.0f} s"
    )
    return folder


def _place(path: Path, built: Build, record: EngineRecord, key: EngineKey) -> bool:
    try:
        return place(path, built.plan, record, key)
    except OSError as error:
        raise SetupError(
            f"{path} cannot be written: {error.strerror}.",
            "Free some space, or mount the store so that the build can write to it.",
        ) from error


def check_precision(built: Build, precision: Precision, contract: Model) -> None:
    """Raise SetupError unless the batch axis is free and every layer runs in the type that it must.

    Convolutions and matrix products run in `precision`; normalisations, softmax and the timestep's
    embedding in FP32, whatever it is: half precision overflows in their sums.
    """
    fixed = [name for name, shape in built.inputs.items() if shape[0] != -1]
    parsed, logged = _DTYPES[precision]
    wrong = [
        f"{layer.name} is {layer.dtype}"
        for layer in built.parsed
        if layer.kind in _WANTED and layer.dtype != _wanted(layer.kind, layer.name, parsed)
    ] + [
        f"{layer.name} reads {layer.inputs}"
        for layer in built.layers
        if layer.is_product and logged not in layer.inputs and _EMBEDDING not in "".join(layer.sources)
    ]
    if fixed or wrong:
        raise SetupError(
            f"The engine of {contract.name} breaks a rule: inputs without a free batch axis {fixed}, "
            f"layers not in {precision}, or not in fp32 where they must be: {wrong[:_NAMED]}.",
            "Export the graphs again.",
        )


def _wanted(kind: str, name: str, parsed: str) -> str:
    return "FLOAT" if kind in _ALWAYS_FP32 or _EMBEDDING in name else parsed


def summary(built: Build) -> str:
    """Return one line on a build: its time and its result."""
    softmaxes = sum(layer.kind == "SOFTMAX" for layer in built.parsed)
    fused = sum(layer.is_attention for layer in built.layers)
    attention = f", {fused} of {softmaxes} attentions fused" if softmaxes and built.layers else ""
    layers = f", {len(built.layers)} layers" if built.layers else ""
    return (
        f"{len(built.plan) / 1e6:.1f} MB, {built.scratch_bytes / 1e9:.2f} GB to work in{layers}{attention}; "
        f"parsed in {built.seconds[0]:.1f} s, built in {built.seconds[1]:.1f} s"
    )


def _graph(repository: Path, contract: Model, precision: Precision) -> Path:
    """Return the path of a leaf's graph in that precision, held to its manifest, weights included."""
    record = manifest.read(repository, contract.name)
    folder = manifest.folder(repository, contract.name)
    path = folder / manifest.FILES[precision]
    files = [file for file in record.files if file.precision == precision]
    if not files or any(file_sha256(folder / file.name) != file.sha256 for file in files):
        raise SetupError(f"{path} does not match its manifest.", "Export the model again.")
    return path


def _record(built: Build, graph: Path, precision: Precision, capability: str) -> EngineRecord:
    serving = built.flavour == "tensorrt"
    return EngineRecord(
        purpose="serving" if serving else "checking only: Triton cannot load this plan",
        onnx_sha256=file_sha256(graph),
        plan_sha256=sha256(built.plan),
        precision=precision,
        shapes=built.shapes,
        flavour=built.flavour,
        version=built.version,
        compute_capability=capability,
    )
