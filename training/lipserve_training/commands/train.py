"""`lipserve-train expert|teacher|student`: networks from a dataset and a recipe."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lipserve.errors import SetupError
from lipserve_training.commands import Commands
from lipserve_training.lips import FPS

if TYPE_CHECKING:
    import torch

    from lipserve_training.data.sampler import Batch
    from lipserve_training.data.store import Entry
    from lipserve_training.train.loop import Trainer
    from lipserve_training.train.recipe import GeneratorRecipe, Recipe

_KINDS = {
    "expert": "a network that tells whether lips and speech belong together",
    "teacher": "a generator from true pictures, by an adversary too where the recipe asks for one",
    "student": "a generator from true pictures, from a teacher, or from both",
}
_RESULT = {"expert": "expert.pth", "teacher": "generator.pth", "student": "generator.pth"}
_JUDGED = 8  # batches of held-out people that the expert is measured on


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    for kind, what in _KINDS.items():
        parser = commands.add_parser(kind, help=f"train {what}")
        parser.add_argument(
            "--recipe", required=True, metavar="FILE", help="a TOML file, or the name of one that is shipped"
        )
        parser.add_argument("--data", type=Path, required=True, metavar="DATASET", help="made by `prepare`")
        parser.add_argument(
            "-o", dest="folder", type=Path, required=True, metavar="RUN",
            help=f"checkpoint, curves, sheets and, in the end, {_RESULT[kind]}; "
            "a run that was stopped goes on from its checkpoint",
        )  # fmt: skip
        parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
        parser.add_argument("--steps", type=int, metavar="N", help="other than the recipe's")
        if kind != "expert":
            parser.add_argument("--expert", type=Path, metavar="FILE", help="judges sync")
            parser.add_argument(
                "--init",
                type=Path,
                metavar="FILE",
                help="a generator to begin with (default: random weights)",
            )
        if kind == "student":
            parser.add_argument("--teacher", type=Path, metavar="FILE", help="a generator to be like")
            parser.add_argument(
                "--vgg", type=Path, metavar="FILE",
                help="torchvision's vgg16, for the feature and the style loss (default: random weights)",
            )  # fmt: skip
        parser.set_defaults(run=run, kind=kind)


def run(options: argparse.Namespace) -> None:
    """Run a command.

    Raises:
        SetupError: something that was given is wrong, missing, or does not fit the rest.
        StorageError: the disk is full.
        KeyboardInterrupt: Ctrl-C; a checkpoint remains.
    """
    import torch

    from lipserve_training.data import sampler, store
    from lipserve_training.train import checkpoint, recipe, split, tasks
    from lipserve_training.train.loop import Trainer
    from lipserve_training.train.windows import Windows

    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, markup=False)

    settings = recipe.load(recipe.find(options.recipe), recipe.GeneratorRecipe, options.steps)
    files = tasks.Files(**{name: getattr(options, name, None) for name in tasks.Files.__dataclass_fields__})
    tasks.check(options.kind, settings, files)
    device = _device(options.device)
    entries = store.read_index(options.data)
    chosen = split.training_entries(settings.data, entries)
    if absent := split.absent(settings.data, entries):
        say(f"warning: held out, but not there: {', '.join(absent)}")
    held_out = split.held_out_entries(settings.data, entries) if options.kind == "expert" else []
    torch.manual_seed(settings.run.seed)
    judges = _judges(options.data, held_out, settings)
    task = tasks.build(options.kind, settings, files, device, judges, say)
    samples = sampler.Sampler(
        options.data, chosen, settings.augment, settings.data.speaker_power, settings.data.mel_offset_ms
    )
    draw = Windows(task, samples, settings.run)
    trainer = Trainer(task, draw, settings, options.folder, device)
    if trainer.step > settings.run.steps:
        raise SetupError(
            f"{options.folder} is at step {trainer.step}, beyond the {settings.run.steps} asked for.",
            "Ask for more steps, or begin in another folder.",
        )
    speakers, minutes = len({e.speaker for e in chosen}), sum(e.frames for e in chosen) / FPS / 60
    say(f"{len(chosen)} clips of {speakers} speakers, {minutes:.1f} min, on {device.type}")
    _train(options.kind, trainer, settings, console)
    state = checkpoint.rounded(trainer.average.state_dict(), settings.run.saved)
    marks = {"mel_offset_ms": settings.data.mel_offset_ms, "framing": "similarity"}
    result = {"state_dict": state, **marks}
    path = checkpoint.write(options.folder, result, _RESULT[options.kind])
    say(f"wrote {path}")


def _train(kind: str, trainer: Trainer[Any], recipe: Recipe, console: Console) -> None:
    if trainer.step:
        console.print(f"going on from step {trainer.step}")
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[losses]}"))
    with Progress(TextColumn(kind), *columns, console=console) as progress, _between_steps() as check:
        bar = progress.add_task("", total=recipe.run.steps, completed=trainer.step, losses="")

        def on_step(step: int, logged: dict[str, float]) -> None:
            losses = " ".join(f"{name} {value:.3g}" for name, value in logged.items())
            progress.update(bar, completed=step, losses=losses)
            if not console.is_terminal and step % recipe.run.log_every == 0:
                console.print(f"{step}/{recipe.run.steps} {losses}")
            check()

        try:
            trainer.run(on_step)
        except KeyboardInterrupt:
            console.print(f"stopped after step {trainer.step}; run the same command again to go on")
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


def _judges(dataset: Path, entries: list[Entry], recipe: GeneratorRecipe) -> list[Batch]:
    """Return batches of held-out people as they are, the same ones at every call."""
    import numpy as np

    from lipserve_training.data.augment import NONE
    from lipserve_training.data.sampler import Sampler
    from lipserve_training.train.windows import WINDOW

    if not entries:
        return []
    sampler = Sampler(dataset, entries, NONE, power=0, offset_ms=recipe.data.mel_offset_ms, cache_gib=0)
    batches = sampler.batches(16, WINDOW, np.random.default_rng(recipe.run.seed))
    return [next(batches) for _ in range(_JUDGED)]


def _device(name: str) -> torch.device:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise SetupError("No CUDA device is at hand.", "Train with --device cpu, or mend the driver.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
