"""Common part of the training commands: options, device, progress."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lipserve.errors import SetupError
from lipserve.quality.lips import FPS

if TYPE_CHECKING:
    import torch

    from lipserve_training.data.store import Entry
    from lipserve_training.train.loop import Trainer
    from lipserve_training.train.recipe import Data, Recipe


def add_options(
    parser: argparse.ArgumentParser, result: str, data: str = "dataset of `lipserve train prepare`"
) -> None:
    """Add the options of every training run.

    Args:
        result: name of the file that the run writes at its end.
        data: help text of --data.
    """
    parser.add_argument(
        "--recipe",
        required=True,
        metavar="FILE",
        help="TOML file, or the name of a recipe that comes with LipServe",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DATASET", help=data)
    parser.add_argument(
        "-o", dest="folder", type=Path, required=True, metavar="DIR",
        help=f"folder of the run: its checkpoint, loss curves, contact sheets, and the result {result}; an "
        "interrupted run continues from its checkpoint",
    )  # fmt: skip
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto",
        help="device of the training; auto: the GPU if there is one, else the CPU (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, metavar="N", help="number of steps (default: the recipe's)")


PACKED = "dataset of `lipserve train prepare`, or the file of `lipserve train pack`"


def console() -> Console:
    """Return where a run tells of itself."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def device(name: str) -> torch.device:
    """Return the device of the option --device, or raise SetupError."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise SetupError("There is no CUDA device.", "Train with --device cpu, or repair the driver.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def tell(out: Console, chosen: Sequence[Entry], where: torch.device) -> None:
    """Print the clips of the training and the device."""
    speakers, minutes = len({e.speaker for e in chosen}), sum(e.frames for e in chosen) / FPS / 60
    out.print(f"{len(chosen)} clips of {speakers} speakers, {minutes:.1f} min, on {where.type}")


def provenance(recipe: Recipe, steps: int, chosen: Sequence[Entry]) -> dict[str, str]:
    """Return what a file of weights tells of how it was made."""
    speakers, minutes = sorted({e.speaker for e in chosen}), sum(e.frames for e in chosen) / FPS / 60
    data = f"{len(chosen)} clips, {minutes:.1f} min, of {', '.join(speakers)}"
    return {"recipe": recipe.model_dump_json(), "steps": str(steps), "data": data}


def warn_of_absent(out: Console, data: Data, entries: Sequence[Entry]) -> None:
    """Warn of speakers and sources that a recipe keeps from training and no clip has."""
    from lipserve_training.train import split

    if absent := split.absent(data, entries):
        out.print(f"warning: held out, but not there: {', '.join(absent)}", markup=False)


def follow(kind: str, trainer: Trainer[Any], recipe: Recipe, folder: Path, out: Console) -> None:
    """Run to the recipe's last step and print the progress of each.

    Raises:
        SetupError: the run is beyond that step already. KeyboardInterrupt: Ctrl-C; a checkpoint remains.
    """
    if trainer.step > recipe.run.steps:
        raise SetupError(
            f"{folder} is at step {trainer.step}, beyond the requested {recipe.run.steps}.",
            "Give more --steps, or another folder with -o.",
        )
    if trainer.step:
        out.print(f"going on from step {trainer.step}")
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[losses]}"))
    with Progress(TextColumn(kind), *columns, console=out) as progress, _between_steps() as check:
        bar = progress.add_task("", total=recipe.run.steps, completed=trainer.step, losses="")

        def on_step(step: int, logged: dict[str, float]) -> None:
            losses = " ".join(f"{name} {value:.3g}" for name, value in logged.items())
            progress.update(bar, completed=step, losses=losses)
            if not out.is_terminal and step % recipe.run.log_every == 0:
                out.print(f"{step}/{recipe.run.steps} {losses}")
            check()

        try:
            trainer.run(on_step)
        except KeyboardInterrupt:
            out.print(f"stopped after step {trainer.step}; run the same command again to go on")
            raise


@contextmanager
def _between_steps() -> Iterator[Callable[[], None]]:
    """Give what raises KeyboardInterrupt once Ctrl-C was pressed; pressed again, it raises at once."""
    pressed = False

    def press(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
