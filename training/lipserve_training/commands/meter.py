"""`lipserve-train fit-meter`: the lip-audio meter, from a dataset of clips that are in sync."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lipserve_training.commands import Commands

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lipserve_training.data.store import Entry
    from lipserve_training.lips import Series
    from lipserve_training.meter import Meter


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("fit-meter", help="what tells lips and sound in sync, from clips that are")
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="made by `prepare`, in sync as stored")
    parser.add_argument(
        "-o", dest="file", type=Path, required=True, metavar="FILE",
        help="the fit; training/lipserve_training/meter.npz is the one that is used",
    )  # fmt: skip
    parser.add_argument(
        "--recipe", metavar="FILE",
        help="a TOML file, or the name of one that is shipped: what it keeps from training is judged, "
        "not fitted on",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command: write the fit, print how it scores the clips that it was not fitted on.

    Raises:
        SetupError: no dataset, no clip to fit on, no recipe, or FILE cannot be written.
        StorageError: the disk is full.
    """
    from lipserve_training import meter
    from lipserve_training.data import store
    from lipserve_training.train import recipe, split

    entries = store.read_index(options.dataset)
    fitted, held_out, unheard = entries, [], []
    if options.recipe:
        settings = recipe.load_data(recipe.find(options.recipe))
        fitted = split.training_entries(settings, entries)
        held_out = split.held_out_entries(settings, entries)
        unheard = [entry for entry in entries if entry not in fitted and entry not in held_out]
    fit = meter.fit(_clips(options.dataset, fitted))
    store.save(options.file, fit.to_bytes())
    print(f"fitted on {len(fitted)} clips of {len({e.speaker for e in fitted})} speakers: {options.file}")
    for what, left in (("people held out", held_out), ("unheard clips", unheard)):
        if left:
            print(f"{what}: {_score(fit, options.dataset, left):.3f} at lag 0, mean of {len(left)} clips")


def _clips(dataset: Path, entries: list[Entry]) -> Iterator[tuple[Series, NDArray[np.float32]]]:
    from lipserve_training.data import store

    for entry in entries:
        clip = store.read(dataset, entry.clip)
        yield clip.lips, clip.samples


def _score(fit: Meter, dataset: Path, entries: list[Entry]) -> float:
    return float(np.mean([fit.judge(lips, samples).at_zero for lips, samples in _clips(dataset, entries)]))
