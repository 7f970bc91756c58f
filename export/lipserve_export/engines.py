"""`lipserve-export engines`: TensorRT plans beside the graphs of a model repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lipserve.contracts import Model
from lipserve.errors import SetupError
from lipserve.plans import PLAN, PlanAccount
from lipserve_export import manifest
from lipserve_export.fetch import file_sha256, sha256
from lipserve_export.held import held
from lipserve_export.tensorrt import Build, Flavour, build, compute_capability

_ALWAYS_FP32 = ("NORMALIZATION", "SOFTMAX")
_WANTED = (*_ALWAYS_FP32, "CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
_EMBEDDING = "time_embedding"  # in the names of the layers that come of the timestep's embedding
_NAMED = 5  # layers in a message
_DTYPES = {"fp32": ("FLOAT", "Float"), "fp16": ("HALF", "Half")}


def build_engines(
    repository: Path,
    say: Callable[[str], None],
    target: str | None = None,
    precision: manifest.Precision = "fp16",
) -> None:
    """Build a plan of every leaf model, with a JSON account beside it.

    Without `target`: with `tensorrt`, for the GPU of this machine, as `model.plan`. With one (`sm80`):
    with `tensorrt_rtx`, without any GPU, as `check.<target>.<precision>.plan`: it proves that the graph
    parses and builds in its precisions, and can be loaded neither by Triton nor by TensorRT.
    """
    flavour: Flavour = "tensorrt" if target is None else "tensorrt_rtx"
    capability = target or compute_capability()
    for contract in held(repository):
        graph = _graph(repository, contract, precision)
        say(f"{contract.name}: building {precision} for {capability} with {flavour}")
        built = build(flavour, graph, contract, target)
        check_precision(built, precision, contract)
        name = PLAN if target is None else f"check.{target}.{precision}.plan"
        path = manifest.folder(repository, contract.name) / name
        try:
            manifest.write_atomically(path, built.plan)
            account = _account(built, graph, precision, capability)
            text = account.model_dump_json(indent=2) + "\n"
            manifest.write_atomically(path.with_suffix(".json"), text.encode())
        except OSError as error:
            raise SetupError(f"{path} cannot be written: {error.strerror}.", "Make room for it.") from error
        use = "for serving" if target is None else "for checking only"
        say(f"{contract.name}: {path.name}, {use}: {summary(built)}")


def check_precision(built: Build, precision: manifest.Precision, contract: Model) -> None:
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
            f"The engine of {contract.name} is not as it must be: inputs without a free batch axis {fixed}, "
            f"layers not in {precision}, or not in fp32 where they must be: {wrong[:_NAMED]}.",
            "Export the graphs again.",
        )


def _wanted(kind: str, name: str, parsed: str) -> str:
    return "FLOAT" if kind in _ALWAYS_FP32 or _EMBEDDING in name else parsed


def summary(built: Build) -> str:
    """Return what a build took and what came of it, in a line."""
    softmaxes = sum(layer.kind == "SOFTMAX" for layer in built.parsed)
    fused = sum(layer.is_attention for layer in built.layers)
    attention = f", {fused} of {softmaxes} attentions fused" if softmaxes and built.layers else ""
    layers = f", {len(built.layers)} layers" if built.layers else ""
    return (
        f"{len(built.plan) / 1e6:.1f} MB, {built.scratch_bytes / 1e9:.2f} GB to work in{layers}{attention}; "
        f"parsed in {built.seconds[0]:.1f} s, built in {built.seconds[1]:.1f} s"
    )


def _graph(repository: Path, contract: Model, precision: manifest.Precision) -> Path:
    """Return the path of a leaf's graph in that precision, held to its manifest, weights included."""
    account = manifest.read(repository, contract.name)
    folder = manifest.folder(repository, contract.name)
    path = folder / manifest.FILES[precision]
    files = [file for file in account.files if file.precision == precision]
    if not files or any(file_sha256(folder / file.name) != file.sha256 for file in files):
        raise SetupError(f"{path} is not the file of its manifest.", "Export the model again.")
    return path


def _account(built: Build, graph: Path, precision: manifest.Precision, capability: str) -> PlanAccount:
    serving = built.flavour == "tensorrt"
    return PlanAccount(
        purpose="serving" if serving else "checking only: Triton cannot load this plan",
        onnx_sha256=file_sha256(graph),
        plan_sha256=sha256(built.plan),
        precision=precision,
        shapes=built.shapes,
        flavour=built.flavour,
        version=built.version,
        compute_capability=capability,
    )
