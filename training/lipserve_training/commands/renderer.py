"""`lipserve train renderer`: train the lip renderer from a dataset and a recipe."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lipserve.errors import SetupError
from lipserve_training.commands import Commands, course

if TYPE_CHECKING:
    from lipserve_training.data.store import Entry
    from lipserve_training.lipwarp.pairs import Batch
    from lipserve_training.lipwarp.recipes import RendererRecipe

RESULT = "lip_renderer.safetensors"
_JUDGED = 4  # batches of people held out


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "renderer",
        help="train the lip renderer of lipwarp: face crops and lip shapes to moved pixels",
        description="Train the lip renderer of the tier lipwarp, which moves the pixels of a face crop to "
        "the wanted lip shape and paints what no pixel of the video shows.",
        epilog="examples:\n"
        "  lipserve train renderer --recipe renderer --data build/dataset \\\n"
        "      -o build/runs/renderer",
    )
    course.add_options(parser, RESULT, course.PACKED)
    parser.add_argument("--init", type=Path, metavar="FILE", help="initial weights (default: random)")
    parser.add_argument(
        "--workers", type=int, metavar="N",
        help="number of processes that make batches, each with all images in memory; 0: the main process "
        "makes them (default: one less than the cores)",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, default=math.inf, metavar="M",
        help="end the run after this many minutes; the learning rate then decays over the time, not over the "
        "steps (default: no limit)",
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
    from lipserve_training.data.pool import cores
    from lipserve_training.lipwarp import library, perceptual
    from lipserve_training.lipwarp.pairs import Pairs
    from lipserve_training.lipwarp.recipes import RendererRecipe
    from lipserve_training.lipwarp.renderer import RendererTask
    from lipserve_training.train import recipe, split
    from lipserve_training.train.loop import Trainer

    workers = max(1, cores() - 1) if options.workers is None else options.workers
    if workers < 0:
        raise SetupError(f"--workers is {workers}.", "Give 0 or more.")
    if not options.minutes > 0:
        raise SetupError(f"--minutes is {options.minutes:g}.", "Give more than 0.")
    settings = recipe.load(recipe.find(options.recipe), RendererRecipe, options.steps)
    out, device = course.console(), course.device(options.device)
    seen = perceptual.load().to(device) if settings.losses.perceptual else None
    entries = library.entries(options.data)
    chosen = split.training_entries(settings.data, entries)
    course.warn_of_absent(out, settings.data, entries)
    course.tell(out, chosen, device)
    draw = Pairs(options.data, chosen, settings)
    torch.manual_seed(settings.run.seed)
    judged = _judged(options.data, split.held_out_entries(settings.data, entries), settings)
    task = RendererTask(settings.losses, seen, judged)
    if options.init:
        begun, _ = shipped.load(options.init, task.network)
        begun.requires_grad_(True)
    trainer = Trainer(task, draw, settings, options.folder, device, workers, options.minutes)
    course.follow("renderer", trainer, settings, options.folder, out)
    for name, value in task.validate(trainer.average).items():
        out.print(f"{name}: {value:.3f}")
    path = options.folder / RESULT
    shipped.save(path, trainer.average.state_dict(), course.provenance(settings, trainer.step, chosen))
    out.print(f"wrote {path}", markup=False)


def _judged(data: Path, held_out: Sequence[Entry], settings: RendererRecipe) -> list[Batch]:
    """Return batches of people held out as they are, the same ones at every call."""
    import numpy as np
    import torch

    from lipserve_training.lipwarp.pairs import SHORTEST, Pairs
    from lipserve_training.lipwarp.recipes import Disturbance

    held_out = [entry for entry in held_out if entry.frames >= SHORTEST]
    if not held_out:
        return []
    still = Disturbance(**dict.fromkeys(Disturbance.model_fields, 0))
    plain = settings.model_copy(update={"augment": still})
    pairs, rng = Pairs(data, held_out, plain), np.random.default_rng(settings.run.seed)
    return [pairs.batch(rng).to(torch.device("cpu")) for _ in range(_JUDGED)]
