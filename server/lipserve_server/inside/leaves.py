"""Run leaf models on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import COMPLETE, EVERY_MODEL, leaves
from lipserve.errors import SetupError

if TYPE_CHECKING:
    import onnxruntime as ort


THREADS = "LIPSERVE_LEAF_THREADS"
"""The environment variable that says on how many threads a leaf model's process runs."""


_SMALL_BYTES = 8_000_000  # of a network that stays in a core's cache ...
_ROWS = 2  # ... with what so many rows of its batch make

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


class Network:
    """A leaf model's session, which runs a small network on few rows at a time.

    What two rows make stays in the cache of a core: a row of `face_landmarks` takes a third less time than in
    a batch of 16, of `wav2lip_generator` a tenth. A large network reads its weights anew with every run.

    Args:
        path: of model.onnx. threads: of one run.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._session = session(path, threads)
        size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
        small = size < _SMALL_BYTES and path.parent.parent.name not in FORMED
        self._rows = _ROWS * threads if small else None

    def run(self, names: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return these outputs of a batch."""
        count = len(next(iter(inputs.values())))
        if self._rows is None or count <= self._rows:
            return list(self._session.run(names, inputs))
        parts = [
            self._session.run(names, {name: rows[at : at + self._rows] for name, rows in inputs.items()})
            for at in range(0, count, self._rows)
        ]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


class OnnxLeaves:
    """Leaf models in this process, from the `1/model.onnx` of a model repository."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._networks: dict[str, Network] = {}

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        if model not in self._networks:
            self._networks[model] = Network(self._repository / model / "1" / "model.onnx")
        names = list(outputs or (spec.name for spec in EVERY_MODEL[model].outputs))
        return dict(zip(names, self._networks[model].run(names, inputs), strict=True))
