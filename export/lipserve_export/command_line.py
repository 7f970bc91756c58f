"""What the commands of export and training share: what they say, and how they end."""

from __future__ import annotations

import argparse
import sys

from lipserve.errors import LipServeError


def say(line: str) -> None:
    """Tell the user what goes on."""
    print(line, file=sys.stderr, flush=True)


def carry_out(options: argparse.Namespace, program: str, extra: str) -> int:
    """Run the command that was chosen (`options.run`) and return the exit status.

    Args:
        extra: of the package `lipserve`, which brings what the command imports.
    """
    try:
        options.run(options)
    except LipServeError as error:
        say(f"{program}: {error.message}\n{error.remedy}".rstrip())
        return 1
    except ModuleNotFoundError as error:
        say(f"{program}: the package {error.name} is missing.\nInstall `lipserve[{extra}]`.")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
