"""What both commands are asked: of which models the server is, where the report goes; and how they end."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from lipserve.errors import SetupError
from lipserve_server.launcher.embedded import DEFAULT_REPOSITORY


def ended(command: Callable[[], int]) -> int:
    """Return the exit code of a command: where it cannot begin, one line says why."""
    try:
        return command()
    except SetupError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        return error.exit_code


def parser(name: str, words: str | None) -> argparse.ArgumentParser:
    """Return the parser of `python -m stress.NAME`.

    Args:
        words: the module's own, of which the first line is told.
    """
    made = argparse.ArgumentParser(prog=f"python -m stress.{name}", description=(words or "").split("\n")[0])
    made.add_argument(
        "--repository", type=Path, default=DEFAULT_REPOSITORY, metavar="FOLDER",
        help="exported models (default %(default)s)",
    )  # fmt: skip
    made.add_argument(
        "--folder", type=Path, default=Path("build") / name, metavar="FOLDER",
        help="where report.json goes (default %(default)s)",
    )  # fmt: skip
    return made
