"""Build a strongly typed ONNX graph with TensorRT, or with TensorRT for RTX where there is no GPU."""

from __future__ import annotations

import contextlib
import importlib
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lipserve.contracts import Model
from lipserve.engine_store import Flavour, compute_capabilities
from lipserve.errors import SetupError
from lipserve_export.engines.build_log import BuiltLayer, read_layers, scratch_bytes

Shapes = dict[str, list[list[int]]]
"""Of each input the smallest, the likeliest and the largest shape."""


@dataclass(frozen=True)
class ParsedLayer:
    """A layer as the parser understood it: before fusion, precisions as the graph states them."""

    name: str
    kind: str
    dtype: str


@dataclass(frozen=True)
class Build:
    """A serialized engine and what is known of it.

    Attributes:
        inputs: shapes of the parsed network's inputs; -1 is any size.
        layers: of the built engine, out of the log of `tensorrt_rtx`; `tensorrt` logs them in another form.
        scratch_bytes: memory that the engine works in at the largest batch, besides its weights.
        seconds: of parsing, and of building.
    """

    plan: bytes
    flavour: Flavour
    version: str
    shapes: Shapes
    inputs: dict[str, tuple[int, ...]]
    parsed: tuple[ParsedLayer, ...]
    layers: tuple[BuiltLayer, ...]
    scratch_bytes: int
    seconds: tuple[float, float]


def build(flavour: Flavour, graph: bytes | Path, contract: Model, target: str | None = None) -> Build:
    """Parse and build a graph for every batch up to the contract's `max_batch_size`.

    Args:
        graph: an ONNX file's content, or its path: of a graph whose weights lie in another file beside it.
        target: compute capability such as `sm80`, with `tensorrt_rtx` only; None is the GPU that is there.

    Raises:
        SetupError: the package is missing, the graph is refused, or the target is unknown.
    """
    trt = _load(flavour)
    messages = _logger(flavour)
    messages.empty()
    builder = trt.Builder(messages)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    started = time.perf_counter()
    faults = _parse(trt.OnnxParser(network, messages), graph)
    if faults:
        raise SetupError(f"{flavour} cannot read the graph of {contract.name}: {faults}", "Export it again.")
    parsed = time.perf_counter()
    shapes = _shapes(contract)
    config = _configured(trt, builder, shapes, target)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise SetupError(
            f"{flavour} {trt.__version__} cannot build an engine of {contract.name}: {messages.last_error()}",
            "Build on a machine whose GPU and driver this TensorRT supports.",
        )
    values = [network.get_input(i) for i in range(network.num_inputs)]
    return Build(
        plan=bytes(plan),
        flavour=flavour,
        version=trt.__version__,
        shapes=shapes,
        inputs={value.name: tuple(value.shape) for value in values},
        parsed=tuple(_parsed(network.get_layer(i)) for i in range(network.num_layers)),
        layers=tuple(read_layers(messages.lines)) if flavour == "tensorrt_rtx" else (),
        scratch_bytes=scratch_bytes(messages.lines),
        seconds=(parsed - started, time.perf_counter() - parsed),
    )


def builder_version(flavour: Flavour) -> str:
    """Return the version of an installed builder; SetupError where it is missing."""
    return str(_load(flavour).__version__)


def compute_capability() -> str:
    """Return the first GPU's compute capability (`sm90`, say); SetupError where there is none."""
    found = compute_capabilities()
    if not found:
        raise SetupError(
            "The NVIDIA driver is missing, or finds no GPU.",
            "Build on the GPU that will serve, or check the graphs with --target sm80.",
        )
    return found[0]


def _parse(parser: Any, graph: bytes | Path) -> str:
    """Fill the parser's network, and return what is wrong with the graph."""
    read = parser.parse(graph) if isinstance(graph, bytes) else parser.parse_from_file(str(graph))
    return "" if read else "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))


def _load(flavour: Flavour) -> Any:
    # NVIDIA's wheels of the bindings alone, for libraries that are there, are called so.
    for name in (flavour, f"{flavour}_bindings"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    remedy = {
        "tensorrt": "Run this in the export image, or check the graphs with --target sm80.",
        "tensorrt_rtx": "Install `lipserve[rtx]`.",
    }
    raise SetupError(f"The package {flavour} is missing.", remedy[flavour])


@cache
def _logger(flavour: Flavour) -> Any:
    # TensorRT keeps the first logger that a process gives it, for ever: there is one, and it is emptied.
    trt = _load(flavour)

    class Messages(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []
            self.errors: list[str] = []

        def empty(self) -> None:
            self.lines.clear()
            self.errors.clear()

        def log(self, severity: Any, message: str) -> None:
            self.lines.append(message)
            if severity <= trt.ILogger.ERROR:
                self.errors.append(message)

        def last_error(self) -> str:
            return self.errors[-1] if self.errors else "it does not say why"

    return Messages()


def _configured(trt: Any, builder: Any, shapes: Shapes, target: str | None) -> Any:
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)  # FP32 in the graph means FP32
    profile = builder.create_optimization_profile()
    for name, sizes in shapes.items():
        profile.set_shape(name, *sizes)
    config.add_optimization_profile(profile)
    if target is not None:
        _aim(trt, config, target)
    return config


def _aim(trt: Any, config: Any, target: str) -> None:
    capability = getattr(trt.ComputeCapability, target.upper(), None)
    config.num_compute_capabilities = 1
    # An architecture that the release does not build for is refused by a return value, not an exception.
    if capability is None or not config.set_compute_capability(capability, 0):
        known = ", ".join(name.lower() for name in dir(trt.ComputeCapability) if name.startswith("SM"))
        raise SetupError(f"TensorRT for RTX cannot build for {target}.", f"Known targets: {known}.")


def _shapes(contract: Model) -> Shapes:
    batches = (1, max(1, contract.max_batch_size // 2), contract.max_batch_size)
    return {tensor.name: [[batch, *tensor.dims] for batch in batches] for tensor in contract.inputs}


def _parsed(layer: Any) -> ParsedLayer:
    dtype = layer.get_output(0).dtype if layer.num_outputs else None
    return ParsedLayer(layer.name, layer.type.name, dtype.name if dtype is not None else "")
