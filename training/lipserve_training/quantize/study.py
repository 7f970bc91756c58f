"""The whole of `lipserve train quantize`: from a checkpoint and a dataset to a graph and a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lipserve.errors import SetupError
from lipserve_export.fetch.files import sha256
from lipserve_export.graphs.fp16 import to_fp16
from lipserve_export.wav2lip.checkpoints import load_generator, read_mel_offset
from lipserve_export.wav2lip.generator import wav2lip_generator
from lipserve_training.quantize import crops, layers, qdq, report, sweep
from lipserve_training.quantize.judge import Judge

Boundary = int | Literal["paper", "best"]
OnProgress = Callable[[str, int, int], None]
"""Called with what goes on, how many of its steps are done, and how many there are."""


@dataclass(frozen=True)
class Settings:
    """How a generator is quantised.

    Attributes:
        boundary: which choice is written: the first so many layers, the paper's, or the one that saves the
            most within the tolerance, be it a boundary or the greedy mixture.
        precision: of the layers that stay high.
        samples: crops to calibrate with, and as many to judge on.
        step: layers that are tried together.
        tolerance: levels of 0..255, see `sweep.Trial.loss`.
        target: compute capability to build a checking engine for; None builds none.
    """

    boundary: Boundary = "best"
    precision: report.Precision = "fp16"
    calibration: qdq.Method = "minmax"
    samples: int = 64
    step: int = 1
    tolerance: float = 0.5
    seed: int = 1247
    target: str | None = "sm80"


def study(
    checkpoint: Path, dataset: Path, settings: Settings, on_progress: OnProgress
) -> tuple[report.Report, bytes]:
    """Return the report and the chosen graph (ONNX, the contract WAV2LIP_GENERATOR).

    Raises:
        SetupError: not a generator's checkpoint, not a dataset, too small a one, a boundary beyond the last
            layer.
        StorageError: the folder for temporary files is full.
    """
    model, digest = load_generator(checkpoint)
    graph = wav2lip_generator(model)
    found = layers.layers(model, graph)
    extra = _boundary(settings.boundary, len(found))
    calibrating, judging = crops.draw(dataset, settings.samples, read_mel_offset(checkpoint), settings.seed)
    on_progress("calibrate", 0, 1)
    int8 = qdq.calibrate(graph, calibrating, settings.calibration)
    boundaries = sweep.steps(len(found), settings.step, *extra)
    groups = sweep.grouped(found, boundaries)
    total, done = len(boundaries) + 1 + 2 * len(groups), 0

    def on_trial() -> None:
        nonlocal done
        done += 1
        on_progress("sweep", done, total)

    judge = Judge(graph, judging)
    tried = sweep.Sweep(graph, found, int8, judge, on_trial)
    by_boundary = tried.boundaries(boundaries)
    paper = tried.trial(layers.paper(model.variant, found))
    alone = tried.alone(groups)
    mixed = tried.greedy(groups, alone, settings.tolerance)
    best = sweep.largest_saving(list(by_boundary.values()), settings.tolerance)
    chosen = _chosen(settings, by_boundary, paper, mixed, best)
    full = tried.quantized(chosen.int8)
    final = to_fp16(full) if settings.precision == "fp16" else full
    data = report.serialized(final)
    on_progress("build", total, total)
    return report.Report(
        weights=f"{checkpoint.name}, sha256 {digest}",
        variant=model.variant.name,
        calibration=settings.calibration,
        calibrated_on=report.Drawn(crops=len(calibrating), clips=calibrating.clips),
        judged_on=report.Drawn(crops=len(judging), clips=judging.clips),
        seed=settings.seed,
        tolerance=settings.tolerance,
        layers=found,
        fp32=judge.fp32,
        boundaries=by_boundary,
        groups=tuple(tuple(layer.name for layer in group) for group in groups),
        alone=tuple(alone),
        paper=paper,
        best_boundary=next(b for b, trial in by_boundary.items() if trial is best),
        mixed=mixed,
        written=report.Written(
            choice=str(settings.boundary),
            precision=settings.precision,
            trial=chosen,
            verdict=judge(final, optimised=False),
            sha256=sha256(data),
            bytes=len(data),
            engine=report.check(data, found, settings.target) if settings.target else None,
        ),
    ), data


def _boundary(boundary: Boundary, count: int) -> tuple[int, ...]:
    if not isinstance(boundary, int):
        return ()
    if boundary > count:
        raise SetupError(
            f"The generator has {count} convolutions, fewer than the boundary {boundary}.",
            f"Give a boundary of 0 to {count}.",
        )
    return (boundary,)


def _chosen(
    settings: Settings,
    boundaries: dict[int, sweep.Trial],
    paper: sweep.Trial,
    mixed: sweep.Trial,
    best: sweep.Trial,
) -> sweep.Trial:
    if isinstance(settings.boundary, int):
        return boundaries[settings.boundary]
    if settings.boundary == "paper":
        return paper
    return sweep.largest_saving([best, mixed], settings.tolerance)
