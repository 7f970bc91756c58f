"""Run a graph on ONNX Runtime's CPU, to check it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

AFFORDABLE_MACS = 10**12
"""Multiplications of a run that is worth its wait, a minute or so; a whole UNet3D's step has four times as
many."""


def session(graph: onnx.ModelProto | bytes | Path, optimised: bool = True) -> onnxruntime.InferenceSession:
    """Return a session of one thread that does not spin.

    Args:
        graph: a path where the weights lie in a file beside the graph.
        optimised: False keeps the graph's own nodes. Not even so does a half precision graph round between
            all layers: `rounding.rounded` makes it do that.
    """
    options = onnxruntime.SessionOptions()
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source: str | bytes
    if isinstance(graph, onnx.ModelProto):
        source = graph.SerializeToString()
    else:
        source = str(graph) if isinstance(graph, Path) else graph
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run(running: onnxruntime.InferenceSession, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return every output by name."""
    names = [output.name for output in running.get_outputs()]
    return dict(zip(names, map(np.asarray, running.run(names, inputs)), strict=True))
