"""What both commands are asked: of which models the server is, and where the report goes."""

from __future__ import annotations

import argparse
from pathlib import Path

from lipserve_server.launcher.embedded import DEFAULT_REPOSITORY


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
