"""`lipserve train motion`: train the lip motion network from a dataset and a recipe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from lipserve.errors import SetupError
from lipserve_training.commands import Commands, course

if TYPE_CHECKING:
    from lipserve_training.lipwarp.footage import Footage
    from lipserve_training.lipwarp.hearing import Heard
    from lipserve_training.lipwarp.motion import Judged
    from lipserve_training.lipwarp.phones import Labels
    from lipserve_training.lipwarp.recipes import MotionRecipe

RESULT = "lip_motion.safetensors"
_TOLD_CLIPS = 50  # where no bar can be drawn, a line is told after so many


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "motion",
        help="train the lip motion network of lipwarp: speech to lip shapes",
        description="Train the lip motion network of the tier lipwarp, which turns speech into lip shapes.",
        epilog="examples:\n"
        "  lipserve train motion --recipe motion --data build/dataset \\\n"
        "      -o build/runs/motion --alignments ALIGNMENTS",
    )
    course.add_options(parser, RESULT, course.PACKED)
    parser.add_argument(
        "--alignments", type=Path, metavar="FILE",
        help="table of the words and their times, for the loss of phones: lines of `speaker name words`, "
        "each word as word:start-end",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        SetupError: something that was given is wrong, missing, or does not fit the rest.
        StorageError: the disk is full.
        KeyboardInterrupt: Ctrl-C; a checkpoint remains.
    """
    import torch

    from lipserve_export.fetch import shipped
    from lipserve_export.lipwarp.motion_network import MEMBERS
    from lipserve_training.lipwarp import library
    from lipserve_training.lipwarp.motion import MotionTask
    from lipserve_training.lipwarp.recipes import MotionRecipe
    from lipserve_training.lipwarp.stretches import Stretches
    from lipserve_training.train import recipe, split
    from lipserve_training.train.loop import Trainer

    settings = recipe.load(recipe.find(options.recipe), MotionRecipe, options.steps)
    if bool(settings.losses.phones) != bool(options.alignments):
        raise SetupError(
            "losses.phones and --alignments go together: "
            + ("--alignments is missing." if settings.losses.phones else "the recipe gives it no weight."),
            "Give both, or neither: losses.phones = 0.",
        )
    out, device = course.console(), course.device(options.device)
    entries = library.entries(options.data)
    chosen = split.training_entries(settings.data, entries)
    course.warn_of_absent(out, settings.data, entries)
    course.tell(out, chosen, device)
    held_out = split.held_out_entries(settings.data, entries)
    clips = [library.read(options.data, entry, pictures=False) for entry in (*chosen, *held_out)]
    labels = _labels(clips, options.alignments, out)
    cache = options.data if options.data.is_dir() else options.folder
    heard = _hear(clips, len(chosen), settings, cache, out)
    torch.manual_seed(settings.run.seed)
    draw = Stretches(clips[: len(chosen)], labels, heard, settings, MEMBERS)
    task = MotionTask(settings, heard, draw.shapes, _judged(clips, labels, len(chosen)))
    trainer = Trainer(task, draw, settings, options.folder, device)
    course.follow("motion", trainer, settings, options.folder, out)
    for name, value in task.validate(trainer.average).items():
        out.print(f"{name}: {value:.3f}")
    path = options.folder / RESULT
    shipped.save(path, trainer.average.state_dict(), course.provenance(settings, trainer.step, chosen))
    out.print(f"wrote {path}", markup=False)


def _labels(clips: list[Footage], alignments: Path | None, out: Console) -> list[Labels]:
    """Return the phones of each clip, all of them unknown where no alignments are given."""
    from lipserve_training.lipwarp import phones

    recordings = phones.read(alignments) if alignments else {}
    labels = [phones.labels(clip.entry, recordings) for clip in clips]
    if alignments:
        known = sum(bool((rows != phones.UNKNOWN).any()) for rows in labels)
        out.print(f"what is said is known of {known} of {len(clips)} clips")
        if not known:
            raise SetupError(
                f"{alignments} has no recording with the name of a clip.",
                "Name the clips after its recordings, or train without it: losses.phones = 0.",
            )
    return labels


def _hear(clips: list[Footage], trained: int, recipe: MotionRecipe, cache: Path, out: Console) -> Heard:
    from lipserve_training.lipwarp import hearing

    done = 0
    with Progress(console=out, transient=True) as progress:
        task = progress.add_task("listening", total=len(clips))

        def on_done() -> None:
            nonlocal done
            done += 1
            progress.update(task, completed=done)
            if not out.is_terminal and done % _TOLD_CLIPS == 0:
                out.print(f"heard {done} of {len(clips)} clips")

        return hearing.hear(clips, trained, recipe.hearing, recipe.run.seed, cache, on_done)


def _judged(clips: list[Footage], labels: list[Labels], first: int) -> list[Judged]:
    """Return the clips from the first held-out one on, each with its shapes over its speaker's reach."""
    from lipserve_training.lipwarp.footage import reaches
    from lipserve_training.lipwarp.motion import Judged

    reach = reaches(clips[first:])
    return [
        Judged(number, clips[number].shapes / reach[clips[number].entry.speaker], labels[number])
        for number in range(first, len(clips))
    ]
