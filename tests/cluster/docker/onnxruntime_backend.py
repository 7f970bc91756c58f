"""A backend `onnxruntime` for a Triton that was built without: the Python backend calls the package.

It reads what Triton's does: `model.onnx`, and the inputs and outputs that the configuration names.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

sys.path.append(str(Path(__file__).parent / "packages"))


class TritonPythonModel:
    """Runs every request of a batch by itself, on one thread of the CPU."""

    def initialize(self, args: Mapping[str, str]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        file = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        config = json.loads(args["model_config"])
        self._inputs = [held["name"] for held in config["input"]]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        values = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
        names = request.requested_output_names()
        made = self._session.run(names, values)
        return pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(names, made, strict=True)])
