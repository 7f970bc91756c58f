"""Leaves on ONNX Runtime: how many rows of a batch are run at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.contracts import MODELS
from lipserve.contracts.spec import NUMPY
from lipserve_server.inside import leaves
from lipserve_server.inside.leaves import Network

pytestmark = pytest.mark.serve


class Recorder:
    """A session that counts the rows of every run."""

    def __init__(self, session: Any) -> None:
        self._session, self.rows = session, list[int]()

    def run(self, names: Sequence[str], inputs: dict[str, NDArray[Any]]) -> Any:
        self.rows.append(len(next(iter(inputs.values()))))
        return self._session.run(names, inputs)


@pytest.fixture
def recorders(monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    """Every session that is opened from now on."""
    opened: list[Recorder] = []
    real = leaves.session

    def session(path: Path, threads: int = 1) -> Recorder:
        opened.append(Recorder(real(path, threads)))
        return opened[-1]

    monkeypatch.setattr(leaves, "session", session)
    return opened


def batch(name: str, count: int) -> tuple[list[str], dict[str, NDArray[Any]]]:
    rng, model = np.random.default_rng(7), MODELS[name]
    rows = {
        tensor.name: (rng.random((count, *tensor.dims)) * (255 if tensor.dtype == "UINT8" else 1)).astype(
            NUMPY[tensor.dtype]
        )
        for tensor in model.inputs
    }
    return [tensor.name for tensor in model.outputs], rows


@pytest.mark.parametrize("name", ["face_landmarks", "lip_renderer", "wav2lip_generator"])
def test_a_small_network_runs_two_rows_at_a_time_and_gives_the_same(
    exported: Path, recorders: list[Recorder], name: str
) -> None:
    path = exported / name / "1" / "model.onnx"
    names, rows = batch(name, 5)
    found = Network(path).run(names, rows)
    whole = leaves.session(path).run(names, rows)
    assert [recorder.rows for recorder in recorders] == [[2, 2, 1], [5]]
    for made, wanted in zip(found, whole, strict=True):
        assert made.dtype == wanted.dtype
        np.testing.assert_array_equal(made, wanted)


def test_more_threads_have_more_rows(exported: Path, recorders: list[Recorder]) -> None:
    names, rows = batch("face_landmarks", 9)
    Network(exported / "face_landmarks/1/model.onnx", threads=2).run(names, rows)
    assert recorders[0].rows == [4, 4, 1]


def test_a_network_with_many_weights_runs_a_batch_at_once(exported: Path, recorders: list[Recorder]) -> None:
    """They may lie in a file beside its graph."""
    names, rows = batch("speech_encoder", 3)
    Network(exported / "speech_encoder/1/model.onnx").run(names, rows)
    assert recorders[0].rows == [3]
