"""`lipserve-train`: prepare data, train, judge and quantise generators of the fast tier."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lipserve_export.command_line import carry_out
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

# The commands import what loads torch where they use it, so that `--help` is instant.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return carry_out(_parser().parse_args(arguments), "lipserve-train", "training")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lipserve-train", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (prepare, pack, shapes, motion, renderer, train, quantize, evaluate):
        command.add(commands)
    return parser
