"""`lipserve train shapes`: the basis that lip shapes are written in, from a dataset."""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from lipserve_training.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("shapes", help="the basis of lip shapes, from the meshes of a dataset")
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="made by `prepare`")
    parser.add_argument(
        "-o", dest="file", type=Path, required=True, metavar="FILE",
        help="lipserve/lipwarp/shapes.npz is the one that is used: with another one, motion and renderer are "
        "trained anew",
    )  # fmt: skip
    parser.add_argument(
        "--recipe", default="motion", metavar="FILE",
        help="a TOML file, or the name of one that is shipped: whom it holds out has no say "
        "(default %(default)s)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command: write the basis, print how much of the motion it holds.

    Raises:
        SetupError: no dataset, nobody left in it, faces that are too one-sided, or FILE cannot be written.
        StorageError: the disk is full.
    """
    import numpy as np

    from lipserve_training.data import store
    from lipserve_training.lipwarp import basis
    from lipserve_training.train import recipe, split

    data = recipe.load_data(recipe.find(options.recipe))
    speakers = defaultdict(list)
    for entry in split.training_entries(data, store.read_index(options.dataset)):
        speakers[entry.speaker].append(entry.clip)
    clips = {name: basis.chosen(own) for name, own in speakers.items()}
    faces = []
    for own in clips.values():
        read = (store.read(options.dataset, name) for name in own)
        faces.append([(clip.meshes.astype(np.float64), clip.lips) for clip in read])
    made, share = basis.fit(faces)
    store.save(options.file, basis.to_bytes(made))
    count = sum(map(len, clips.values()))
    print(f"{made.count} directions hold {share:.1%} of what moves in {count} clips of {len(clips)} speakers")
    print(f"written: {options.file}")
