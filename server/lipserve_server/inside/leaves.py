"""Run leaf models on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lipserve.contracts import COMPLETE, EVERY_MODEL, leaves
from lipserve.errors import SetupError

if TYPE_CHECKING:
    import onnxruntime as ort


THREADS = "LIPSERVE_LEAF_THREADS"
"""The environment variable that says on how many threads a leaf model's process runs."""


FORMED = {model.name for model in leaves(COMPLETE)}
"""The leaves of the quality tier: they are large, and their shapes follow from resolution and width."""


def session(path: Path, threads: int = 1) -> ort.InferenceSession:
    """Return a CPU session whose threads do not spin: requests in flight share the cores."""
    if not path.exists():
        raise SetupError(
            f"{path.parent.parent.name} has no {path.name}.",
            "Export it: lipserve export all -o REPOSITORY.",
        )
    import onnxruntime as ort  # here: the stages share this module and need no runtime of their own

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # What an arena has grown to it keeps: gigabytes, of a VAE. Where batches are small it saves time.
    options.enable_cpu_mem_arena = path.parent.parent.name not in FORMED
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class OnnxLeaves:
    """Leaf models in this process, from the `1/model.onnx` of a model repository."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._sessions: dict[str, ort.InferenceSession] = {}

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        if model not in self._sessions:
            self._sessions[model] = session(self._repository / model / "1" / "model.onnx")
        names = list(outputs or (spec.name for spec in EVERY_MODEL[model].outputs))
        return dict(zip(names, self._sessions[model].run(names, inputs), strict=True))
