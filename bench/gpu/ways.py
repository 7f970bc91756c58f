"""Ways to run a leaf: PyTorch as it is, compiled, replayed as a CUDA graph, or an exported engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from bench.gpu import engine
from bench.gpu.device import Device
from bench.gpu.networks import Networks
from lipserve.contracts import Model
from lipserve.errors import SetupError

Way = Literal["eager", "compile", "graph", "engine"]
WAYS: tuple[Way, ...] = ("eager", "compile", "graph", "engine")
Tensors = dict[str, Tensor]
Run = Callable[[Tensors], Tensors]


def prepare(
    way: Way, contract: Model, networks: Networks, device: Device, repository: Path | None
) -> tuple[Run, str]:
    """Return what runs a leaf by its contract's names, and the way's full name.

    What a run gives may be overwritten by the next one.

    Args:
        repository: of exported models, where engines are.

    Raises:
        SetupError: this machine, or the repository, has not got what the way needs.
    """
    if way == "engine":
        return engine.load(repository, contract, device)
    module = networks.modules[contract.name]
    if way == "graph":
        if not device.is_gpu:
            raise SetupError("A CUDA graph needs a GPU.", "Leave it out of --ways.")
        return Graph(module, contract), "CUDA graph"
    if way == "compile":
        # A dry run has no compiler to try: everything up to it is.
        backend = "inductor" if device.is_gpu else "aot_eager"
        return _named(torch.compile(module, dynamic=False, backend=backend), contract), "torch.compile"
    return _named(module, contract), "PyTorch eager"


def _named(module: nn.Module | Callable[..., object], contract: Model) -> Run:
    def run(inputs: Tensors) -> Tensors:
        outputs = module(*(inputs[tensor.name] for tensor in contract.inputs))
        assert isinstance(outputs, tuple)
        return {tensor.name: value for tensor, value in zip(contract.outputs, outputs, strict=True)}

    return run


class Graph:
    """One recording for each batch size, replayed over the inputs that are copied into it."""

    def __init__(self, module: nn.Module, contract: Model) -> None:
        self._run, self._first = _named(module, contract), contract.inputs[0].name
        self._recorded: dict[int, tuple[torch.cuda.CUDAGraph, Tensors, Tensors]] = {}

    def __call__(self, inputs: Tensors) -> Tensors:
        batch = len(inputs[self._first])
        if batch not in self._recorded:
            self._recorded[batch] = self._record({name: value.clone() for name, value in inputs.items()})
        graph, static, outputs = self._recorded[batch]
        for name, value in inputs.items():
            static[name].copy_(value)
        graph.replay()
        return outputs

    def _record(self, static: Tensors) -> tuple[torch.cuda.CUDAGraph, Tensors, Tensors]:
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):  # libraries choose and allocate before the recording
            for _ in range(2):
                self._run(static)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self._run(static)
        return graph, static, outputs
