"""`lipserve train pack`: pack a dataset into one file, to train on another machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.progress import Progress

from lipserve_training.commands import Commands, course


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "pack",
        help="pack a dataset into one file, to train motion and renderer elsewhere",
        description="Pack a dataset into one file that `lipserve train motion` and `lipserve train renderer` "
        "read, for example on a machine with a GPU.",
        epilog="examples:\n  lipserve train pack build/dataset -o build/dataset.pack --megabytes 200",
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="dataset of `lipserve train prepare`")
    parser.add_argument("-o", dest="file", type=Path, required=True, metavar="FILE", help="file to write")
    parser.add_argument(
        "--megabytes", type=float, default=60, metavar="N",
        help="largest size of the file in MB; clips are left out of the speakers with the most speech first "
        "(default %(default)s)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        SetupError: no dataset, nothing that fits, or FILE cannot be written.
        StorageError: the disk is full.
    """
    from lipserve_training.data import store
    from lipserve_training.lipwarp import pack

    found, out = store.read_index(options.dataset), course.console()
    with Progress(console=out, transient=True) as progress:
        task = progress.add_task("packing", total=len(found))
        limit = int(options.megabytes * 1e6)
        kept = pack.write(options.file, options.dataset, found, limit, lambda: progress.advance(task))
    size = options.file.stat().st_size / 1e6
    out.print(f"{len(kept)} of {len(found)} clips in {options.file}: {size:.1f} MB", markup=False)
