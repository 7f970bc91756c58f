"""`lipserve train expert|teacher|student`: train Wav2Lip's networks from a dataset and a recipe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lipserve_training.commands import Commands, course

if TYPE_CHECKING:
    from lipserve_training.data.sampler import Batch
    from lipserve_training.data.store import Entry
    from lipserve_training.train.recipe import GeneratorRecipe

_HELP = {
    "expert": "train the sync expert, a judge of whether lips and speech belong together",
    "teacher": "train a generator on real images",
    "student": "train a generator on real images, on a teacher's images, or on both",
}
_DESCRIPTION = {
    "expert": "Train the sync expert: a network that scores whether lips and speech belong together. The "
    "training of generators uses it for the sync loss.",
    "teacher": "Train a generator of the tier wav2lip on real images, with a discriminator if the recipe has "
    "one.",
    "student": "Train a generator of the tier wav2lip, usually a smaller one, on real images, on the images "
    "that a teacher makes, or on both.",
}
_EXAMPLE = {
    "expert": "--recipe expert --data build/dataset \\\n      -o build/runs/expert",
    "teacher": "--recipe teacher --data build/dataset \\\n"
    "      -o build/runs/teacher --expert build/runs/expert/expert.pth",
    "student": "--recipe paper_student --data build/dataset \\\n"
    "      -o build/runs/student --teacher build/runs/teacher/generator.pth \\\n"
    "      --expert build/runs/expert/expert.pth",
}
_RESULT = {"expert": "expert.pth", "teacher": "generator.pth", "student": "generator.pth"}
_JUDGED = 8  # batches of held-out speakers that the expert is evaluated on


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    for kind, text in _HELP.items():
        parser = commands.add_parser(
            kind,
            help=text,
            description=_DESCRIPTION[kind],
            epilog=f"examples:\n  lipserve train {kind} {_EXAMPLE[kind]}",
        )
        course.add_options(parser, _RESULT[kind])
        if kind != "expert":
            parser.add_argument(
                "--expert", type=Path, metavar="FILE", help="expert.pth of the sync expert, for the sync loss"
            )
            parser.add_argument(
                "--init",
                type=Path,
                metavar="FILE",
                help="generator to start from (default: random weights)",
            )
        if kind == "student":
            parser.add_argument(
                "--teacher",
                type=Path,
                metavar="FILE",
                help="generator.pth of the teacher that the student imitates",
            )
            parser.add_argument(
                "--vgg", type=Path, metavar="FILE",
                help="weights of torchvision's vgg16, for the feature and style losses (default: random)",
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

    console = course.console()

    def say(line: str) -> None:
        console.print(line, markup=False)

    settings = recipe.load(recipe.find(options.recipe), recipe.GeneratorRecipe, options.steps)
    files = tasks.Files(**{name: getattr(options, name, None) for name in tasks.Files.__dataclass_fields__})
    tasks.check(options.kind, settings, files)
    device = course.device(options.device)
    entries = store.read_index(options.data)
    chosen = split.training_entries(settings.data, entries)
    course.warn_of_absent(console, settings.data, entries)
    held_out = split.held_out_entries(settings.data, entries) if options.kind == "expert" else []
    torch.manual_seed(settings.run.seed)
    judges = _judges(options.data, held_out, settings)
    task = tasks.build(options.kind, settings, files, device, judges, say)
    samples = sampler.Sampler(
        options.data, chosen, settings.augment, settings.data.speaker_power, settings.data.mel_offset_ms
    )
    draw = Windows(task, samples, settings.run)
    trainer = Trainer(task, draw, settings, options.folder, device)
    course.tell(console, chosen, device)
    course.follow(options.kind, trainer, settings, options.folder, console)
    state = checkpoint.rounded(trainer.average.state_dict(), settings.run.saved)
    marks = {"mel_offset_ms": settings.data.mel_offset_ms, "framing": "similarity"}
    result = {"state_dict": state, **marks}
    path = checkpoint.write(options.folder, result, _RESULT[options.kind])
    say(f"wrote {path}")


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
