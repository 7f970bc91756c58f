"""Output of the export commands."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Print a line of progress."""
    print(line, file=sys.stderr, flush=True)
