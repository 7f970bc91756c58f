"""`lipserve-export engines`: TensorRT plans beside the graphs of a model repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lipserve.contracts import LEAVES, Model
from lipserve.errors import SetupError
from lipserve.plans import PLAN, PlanAccount
from lipserve_export import manifest
from lipserve_export.fetch import read_bytes, sha256
from lipserve_export.tensorrt import Build, Flavour, build, compute_capability

_CONVOLUTIONS = ("CONVOLUTION", "DECONVOLUTION")
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
    for contract in _held(repository):
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
        say(f"{contract.name}: {path.name}, {len(built.plan) / 1e6:.1f} MB, {use}")


def check_precision(built: Build, precision: manifest.Precision, contract: Model) -> None:
    """Raise SetupError unless every convolution runs in `precision` and the batch axis is free."""
    parsed, logged = _DTYPES[precision]
    fixed = [name for name, shape in built.inputs.items() if shape[0] != -1]
    wrong = [
        layer.name for layer in built.parsed if layer.kind in _CONVOLUTIONS and layer.dtype != parsed
    ] + [layer.name for layer in built.layers if layer.is_convolution and layer.inputs[:1] != (logged,)]
    if fixed or wrong:
        raise SetupError(
            f"The engine of {contract.name} is not as it must be: "
            f"inputs without a free batch axis {fixed}, convolutions not in {precision} {wrong}.",
            "Export the graphs again.",
        )


def _held(repository: Path) -> list[Model]:
    """Return the leaf models that were exported; the manifest's own error where none was."""
    held = [leaf for leaf in LEAVES if (manifest.folder(repository, leaf.name) / manifest.NAME).is_file()]
    if not held:
        manifest.read(repository, LEAVES[0].name)
    return held


def _graph(repository: Path, contract: Model, precision: manifest.Precision) -> bytes:
    held = {file.precision: file for file in manifest.read(repository, contract.name).files}
    path = manifest.folder(repository, contract.name) / manifest.FILES[precision]
    data = read_bytes(path)
    if precision not in held or sha256(data) != held[precision].sha256:
        raise SetupError(f"{path} is not the file of its manifest.", "Export the model again.")
    return data


def _account(built: Build, graph: bytes, precision: manifest.Precision, capability: str) -> PlanAccount:
    serving = built.flavour == "tensorrt"
    return PlanAccount(
        purpose="serving" if serving else "checking only: Triton cannot load this plan",
        onnx_sha256=sha256(graph),
        plan_sha256=sha256(built.plan),
        precision=precision,
        shapes=built.shapes,
        flavour=built.flavour,
        version=built.version,
        compute_capability=capability,
    )
