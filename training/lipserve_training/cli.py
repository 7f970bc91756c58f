"""Entry point of `lipserve train`: prepare data, train, evaluate and quantize the networks of LipServe."""

from __future__ import annotations

import argparse

from lipserve_training.commands import (
    evaluate,
    motion,
    pack,
    prepare,
    quantize,
    renderer,
    shapes,
    train,
)

_EPILOG = """\
examples:
  lipserve train prepare CLIPS -o build/dataset
  lipserve train renderer --recipe renderer --data build/dataset -o RUN
  lipserve train evaluate --clips CLIPS -o build/evaluate

`lipserve train COMMAND --help` explains each command, docs/compression.md the
networks, the recipes and the figures.
"""

# The commands import what loads torch where they use it, so that `--help` is instant.


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Prepare data, train, evaluate and quantize the networks of LipServe."
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (prepare, pack, shapes, motion, renderer, train, quantize, evaluate):
        command.add(commands)
