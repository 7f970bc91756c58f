"""`lipserve train quantize`: quantize a generator to INT8, except its sensitive layers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lipserve_training.commands import Commands

if TYPE_CHECKING:
    from lipserve_training.quantize.report import Report
    from lipserve_training.quantize.sweep import Trial

_TARGET = "sm80"


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "quantize",
        help="quantize a generator to INT8, except its sensitive layers",
        description="Measure how much each layer of a Wav2Lip generator loses in INT8, choose the layers "
        "that can be quantized, and write the graph model.int8.onnx with the measurements.",
        epilog="examples:\n"
        "  lipserve train quantize --checkpoint weights/wav2lip_grid.pth \\\n"
        "      --data build/grid -o build/quantize",
    )
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="Wav2Lip checkpoint")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DATASET", help="dataset of `lipserve train prepare`"
    )
    parser.add_argument(
        "-o", dest="folder", type=Path, required=True, metavar="DIR",
        help="folder of the results: model.int8.onnx, sweep.json and sweep.png",
    )  # fmt: skip
    parser.add_argument(
        "--boundary", type=_boundary, default="best", metavar="N|paper|best",
        help="layers in INT8: the first N convolutions; paper: those of the paper; best: of all measured "
        "choices within the tolerance, the one that saves the most multiplications (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--tolerance", type=_positive, default=0.5, metavar="LEVELS",
        help="largest mean difference from the FP32 image inside the mask, in levels of 0..255; rounding to "
        "whole levels alone costs 0.25 (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=("fp16", "fp32"), default="fp16",
        help="precision of the layers that are not in INT8: fp16 for GPUs, fp32 for CPUs "
        "(default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--calibration", choices=("minmax", "entropy", "percentile"), default="minmax",
        help="method that chooses the range of an INT8 tensor (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--samples", type=_count, default=64, metavar="N",
        help="number of face crops for the calibration; as many, of other clips, are used for the evaluation "
        "(default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--step", type=_count, default=1, metavar="N",
        help="number of layers that each step of the sweep adds; more is coarser and faster "
        "(default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--seed",
        type=_seed,
        default=1247,
        metavar="N",
        help="seed of the random choice of crops (default %(default)s)",
    )
    parser.add_argument(
        "--target", metavar="SM", default=None,
        help="check the graph with TensorRT for RTX, for this compute capability "
        f"(default: {_TARGET} if TensorRT for RTX is installed)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        SetupError: not a generator's checkpoint, not a dataset of two clips, no such boundary or target, a
            folder that cannot be written.
        StorageError: the disk is full.
    """
    from importlib.util import find_spec

    from lipserve_training.data import store
    from lipserve_training.quantize import plot, report, study

    store.make(options.folder)  # what cannot be written to is told before the work, not after it
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    target = options.target or (_TARGET if find_spec("tensorrt_rtx") else None)
    settings = study.Settings(
        boundary=options.boundary,
        precision=options.precision,
        calibration=options.calibration,
        samples=options.samples,
        step=options.step,
        tolerance=options.tolerance,
        seed=options.seed,
        target=target,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("read", total=None)

        def on_progress(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        found, graph = study.study(options.checkpoint, options.data, settings, on_progress)
        report.write(options.folder, found, graph, plot.draw(found))
    _tell(console, found, options.folder)


def _tell(console: Console, report: Report, folder: Path) -> None:
    console.print(_trials(report))
    console.print(_layers(report))
    written = report.written
    console.print(
        f"{folder}: {len(written.trial.int8)} of {len(report.layers)} convolutions INT8, the others "
        f"{written.precision.upper()}, {written.bytes / 1e6:.2f} MB. As written it differs from FP32 by "
        f"{written.verdict.fp32.l1:.2f} levels.",
        markup=False,
    )
    console.print(_engine(report), markup=False)
    if not written.trial.int8:
        console.print(f"No layer bears INT8 within {report.tolerance:g} levels: the graph has none.")


def _trials(report: Report) -> Table:
    table = _table("choice", "INT8", "MACs", "FP32 dB", "SSIM", "L1", "truth dB", "SSIM", "L1")
    rows: list[tuple[str, Trial]] = [
        ("none", report.boundaries[0]),
        ("paper", report.paper),
        (f"boundary {report.best_boundary}", report.boundaries[report.best_boundary]),
        ("mixture", report.mixed),
        ("all", report.boundaries[len(report.layers)]),
    ]
    for name, trial in rows:
        scores = (trial.verdict.fp32, trial.verdict.truth)
        cells = [cell for s in scores for cell in (f"{s.psnr:.2f}", f"{s.ssim:.4f}", f"{s.l1:.2f}")]
        table.add_row(name, str(len(trial.int8)), f"{trial.saving:.1%}", *cells)
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(first, box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in others:
        table.add_column(name, justify="right")
    return table


def _layers(report: Report) -> Table:
    """Return what each layer costs alone, and what became of it."""
    engine = report.written.engine
    table = _table("layer", "M MACs", "alone dB", "L1", "written as", "engine reads")
    alone = {
        name: (trial.verdict.fp32, number)
        for number, (group, trial) in enumerate(zip(report.groups, report.alone, strict=True))
        for name in group
    }
    before = -1
    for layer in report.layers:
        scores, number = alone[layer.name]
        cells = ("", "") if number == before else (f"{scores.psnr:.2f}", f"{scores.l1:.3f}")
        kind = "INT8" if layer.name in report.written.trial.int8 else report.written.precision.upper()
        reads = engine.reads[layer.name] if engine else "not built"
        table.add_row(layer.label, f"{layer.macs / 1e6:.2f}", *cells, kind, reads)
        before = number
    return table


def _engine(report: Report) -> str:
    engine, written = report.written.engine, report.written
    if engine is None:
        return "No engine was built: install `lipserve[rtx]` to see which layers become INT8."
    became = [name for name, kind in engine.reads.items() if kind == "Int8"]
    macs = {layer.name: layer.macs for layer in report.layers}
    share = sum(macs[name] for name in became) / sum(macs.values())
    return (
        f"{engine.builder} for {engine.target}: {len(became)} of those {len(written.trial.int8)} read INT8, "
        f"{share:.1%} of the multiplications. Nothing was run on a GPU: this says nothing of speed."
    )


def _boundary(text: str) -> int | str:
    if text in ("paper", "best"):
        return text
    if text.isdecimal() and len(text) < 5:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is neither a number of layers, nor `paper`, nor `best`")


def _count(text: str) -> int:
    if text.isdecimal() and len(text) < 6 and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to 99999")


def _seed(text: str) -> int:
    if text.isdecimal() and int(text) < 2**63:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 to {2**63 - 1}")


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0 <= value <= 255:
        return value
    raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 255")
