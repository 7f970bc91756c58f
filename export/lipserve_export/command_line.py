"""How the commands of export tell what goes on."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Tell the user what goes on."""
    print(line, file=sys.stderr, flush=True)
