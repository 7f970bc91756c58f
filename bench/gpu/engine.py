"""The best engine at hand for an exported leaf: its TensorRT plan, or else its graph in ONNX Runtime."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from bench.gpu.device import Device
from lipserve.contracts import Model
from lipserve.engine_store import EngineKey, compute_capabilities, graph_digests
from lipserve.errors import SetupError
from lipserve_export.graphs.held import held
from lipserve_export.graphs.manifest import FILES

Run = Callable[[dict[str, Tensor]], dict[str, Tensor]]

_EXPORT = "Export full-width models, and with TensorRT run `lipserve export engines`."
_GPU_PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider")


def load(repository: Path | None, contract: Model, device: Device) -> tuple[Run, str]:
    """Return what runs a leaf, and the engine's name.

    Raises:
        SetupError: there is neither an engine nor a graph, or nothing that runs them on the device.
    """
    if repository is None:
        raise SetupError("No repository of exported models is named.", f"Give --repository. {_EXPORT}")
    plan = _plan(repository, contract) if device.is_gpu and importlib.util.find_spec("tensorrt") else None
    if plan is not None and plan.is_file():
        return _tensorrt(plan, contract)
    graph = repository / contract.name / "1" / FILES["fp16" if device.is_gpu else "fp32"]
    if not graph.is_file():
        raise SetupError(f"There is no {graph}.", _EXPORT)
    return _onnx_runtime(graph, contract, device)


def _plan(repository: Path, contract: Model) -> Path:
    """Return where the plan lies that was built of the repository's graphs for this GPU and this TensorRT."""
    import tensorrt

    digests = graph_digests(repository, [model.name for model in held(repository)])
    key = EngineKey.of(compute_capabilities()[0], "tensorrt", tensorrt.__version__, digests.values())
    return key.plan(repository, contract.name)


def _tensorrt(path: Path, contract: Model) -> tuple[Run, str]:
    """Return a plan that runs on PyTorch's stream, over PyTorch's memory."""
    import tensorrt

    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    engine = tensorrt.Runtime(logger).deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise SetupError(
            f"TensorRT {tensorrt.__version__} does not load {path}.", "Build it on this machine."
        )
    context = engine.create_execution_context()

    def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        held = {name: value.contiguous() for name, value in inputs.items()}
        outputs = _empty(contract, held, torch.device("cuda"))
        for name, value in held.items():
            context.set_input_shape(name, tuple(value.shape))
        for name, value in (held | outputs).items():
            context.set_tensor_address(name, value.data_ptr())
        if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise SetupError(f"TensorRT does not run {path}.", "Its own words above say why.")
        return outputs

    return run, f"TensorRT {tensorrt.__version__}"


def _onnx_runtime(graph: Path, contract: Model, device: Device) -> tuple[Run, str]:
    """Return a session over PyTorch's memory: nothing is copied from the device or to it."""
    wanted = _GPU_PROVIDERS if device.is_gpu else ("CPUExecutionProvider",)
    held = [name for name in wanted if name in onnxruntime.get_available_providers()]
    # It falls back on the CPU where a provider's libraries are missing, and says so in a log only.
    session = onnxruntime.InferenceSession(str(graph), providers=held) if held else None
    if session is None or session.get_providers()[0] not in wanted:
        raise SetupError(
            "Neither TensorRT with a plan nor an ONNX Runtime for GPUs is here.",
            "Install onnxruntime-gpu; or tensorrt, and run `lipserve export engines`.",
        )
    names = [tensor.name for tensor in contract.outputs]

    def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        given = {name: value.contiguous() for name, value in inputs.items()}
        outputs = _empty(contract, given, device.place)
        binding = session.io_binding()
        where = (device.place.type, 0, np.float32)
        for name, value in given.items():
            binding.bind_input(name, *where, tuple(value.shape), value.data_ptr())
        for name in names:
            binding.bind_output(name, *where, tuple(outputs[name].shape), outputs[name].data_ptr())
        session.run_with_iobinding(binding)
        return outputs

    return run, f"ONNX Runtime {onnxruntime.__version__}, {session.get_providers()[0]}"


def _empty(contract: Model, inputs: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    batch = len(inputs[contract.inputs[0].name])
    return {tensor.name: torch.empty((batch, *tensor.dims), device=device) for tensor in contract.outputs}
