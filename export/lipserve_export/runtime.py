"""Run a graph on ONNX Runtime's CPU, to check it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray


def session(graph: onnx.ModelProto | bytes, optimised: bool = True) -> onnxruntime.InferenceSession:
    """Return a session of one thread that does not spin.

    Args:
        optimised: False keeps every cast of a half precision graph, so that it rounds as a GPU's would:
            optimised, ONNX Runtime drops pairs of casts.
    """
    options = onnxruntime.SessionOptions()
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    data = graph if isinstance(graph, bytes) else graph.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run(running: onnxruntime.InferenceSession, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return every output by name."""
    names = [output.name for output in running.get_outputs()]
    return dict(zip(names, map(np.asarray, running.run(names, inputs)), strict=True))
