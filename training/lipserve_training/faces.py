"""The two face models, run in this process from an exported model repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_state

from lipserve.errors import SetupError
from lipserve_export.graphs import manifest, runtime

MODELS = ("face_detector", "face_landmarks")
_NO_GRAPH = (onnxruntime_state.Fail, onnxruntime_state.InvalidArgument, onnxruntime_state.InvalidProtobuf)


def graph(repository: Path, model: str) -> Path:
    """Return the graph of a model in an exported repository."""
    return manifest.folder(repository, model) / manifest.FILES["fp32"]


class FaceModels:
    """`face_detector` and `face_landmarks` behind the protocol `lipserve.leaves.Leaves`."""

    def __init__(self, repository: Path) -> None:
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        for model in MODELS:
            path = graph(repository, model)
            if not path.exists():
                raise SetupError(
                    f"{repository} holds no {model}.",
                    f"Export the face models: lipserve export faces -o {repository}.",
                )
            try:
                self._sessions[model] = runtime.session(path.read_bytes())
            except (OSError, *_NO_GRAPH) as error:
                raise SetupError(
                    f"{path} cannot be loaded, or is damaged.",
                    f"Export the face models again: lipserve export faces -o {repository}.",
                ) from error

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        made = runtime.run(self._sessions[model], inputs)
        return {name: made[name] for name in outputs or made}
