"""`lipserve-train`: prepare data, train, judge and quantise generators of the fast tier."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lipserve.errors import LipServeError
from lipserve_training.commands import evaluate, meter, prepare, quantize, train

# The commands import what loads torch where they use it, so that `--help` is instant.


def say(line: str) -> None:
    """Tell the user what goes on."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except LipServeError as error:
        say(f"lipserve-train: {error.message}\n{error.remedy}".rstrip())
        return 1
    except ModuleNotFoundError as error:
        say(f"lipserve-train: the package {error.name} is missing.\nInstall `lipserve[training]`.")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lipserve-train", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (prepare, meter, train, quantize, evaluate):
        command.add(commands)
    return parser
