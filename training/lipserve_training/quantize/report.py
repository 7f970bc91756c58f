"""What a sweep found, as it is written to disk."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import onnx
from pydantic import BaseModel, ConfigDict

from lipserve.contracts import WAV2LIP_GENERATOR
from lipserve_export.engines.build_log import convolution_types
from lipserve_export.engines.tensorrt import build
from lipserve_training.data import store
from lipserve_training.quantize.judge import Scores, Verdict
from lipserve_training.quantize.layers import Layer
from lipserve_training.quantize.qdq import Method
from lipserve_training.quantize.sweep import Trial

GRAPH, REPORT, PLOT = "model.int8.onnx", "sweep.json", "sweep.png"

Precision = Literal["fp16", "fp32"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Drawn(_Record):
    """Crops of a dataset: how many, of which clips."""

    crops: int
    clips: tuple[str, ...]


class Engine(_Record):
    """An engine for checking, built without a GPU; it is not kept.

    Attributes:
        builder: package and version.
        reads: by layer what type its convolution reads, out of the build log: Int8, Half or Float.
    """

    builder: str
    target: str
    plan_bytes: int
    reads: dict[str, str]


class Written(_Record):
    """The graph that was written.

    Attributes:
        choice: a boundary, `paper` or `best`.
        precision: of the layers that are not INT8.
        verdict: of this graph in its own precision.
        engine: None where the builder is not installed.
    """

    choice: str
    precision: Precision
    trial: Trial
    verdict: Verdict
    sha256: str
    bytes: int
    engine: Engine | None


class Report(_Record):
    """A sweep.

    Attributes:
        weights: the checkpoint's name and sha256.
        tolerance: levels of 0..255, see `Trial.loss`.
        fp32: the float32 graph against the true pictures.
        boundaries: by b, the first b layers in INT8.
        groups: layers that were tried together, one each where the step is 1.
        alone: each group in INT8, all others high.
        best_boundary: which saves the most within the tolerance.
        mixed: the greedy choice among all groups.
    """

    weights: str
    variant: str
    calibration: Method
    calibrated_on: Drawn
    judged_on: Drawn
    seed: int
    tolerance: float
    layers: tuple[Layer, ...]
    fp32: Scores
    boundaries: dict[int, Trial]
    groups: tuple[tuple[str, ...], ...]
    alone: tuple[Trial, ...]
    paper: Trial
    best_boundary: int
    mixed: Trial
    written: Written


def check(graph: bytes, layers: tuple[Layer, ...], target: str) -> Engine:
    """Build a graph with TensorRT for RTX and return what its layers became.

    Raises:
        SetupError: the package is missing, it refuses the graph, or the target is unknown.
    """
    built = build("tensorrt_rtx", graph, WAV2LIP_GENERATOR, target)
    types = convolution_types(built.layers)
    return Engine(
        builder=f"{built.flavour} {built.version}",
        target=target,
        plan_bytes=len(built.plan),
        reads={layer.name: types[layer.node] for layer in layers},
    )


def write(folder: Path, report: Report, graph: bytes, plot: bytes) -> None:
    """Write the graph, the report and its plot, a PNG file.

    Raises:
        StorageError: the disk is full.
        SetupError: the folder cannot be written.
    """
    files = {
        GRAPH: graph,
        PLOT: plot,
        REPORT: (report.model_dump_json(indent=1) + "\n").encode(),
    }
    for name, data in files.items():
        store.save(folder / name, data)


def serialized(graph: onnx.ModelProto) -> bytes:
    """Return a graph's bytes, always the same for the same graph."""
    data: bytes = graph.SerializeToString(deterministic=True)
    return data
