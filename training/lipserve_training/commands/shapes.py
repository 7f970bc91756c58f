"""`lipserve train shapes`: compute the basis of lip shapes from a dataset."""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from lipserve_training.commands import Commands


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "shapes",
        help="compute the basis of lip shapes from the face meshes of a dataset",
        description="Compute the eight principal directions in which the lips of many speakers move: the "
        "basis in which the tier lipwarp describes lip shapes. Only needed to change that basis; motion and "
        "renderer must then be trained anew.",
        epilog="examples:\n  lipserve train shapes build/dataset -o lipserve/lipwarp/shapes.npz",
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="dataset of `lipserve train prepare`")
    parser.add_argument(
        "-o", dest="file", type=Path, required=True, metavar="FILE",
        help="file of the basis (LipServe reads lipserve/lipwarp/shapes.npz)",
    )  # fmt: skip
    parser.add_argument(
        "--recipe", default="motion", metavar="FILE",
        help="recipe (TOML file, or the name of one that comes with LipServe) whose held-out speakers are "
        "left out (default %(default)s)",
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
