"""Results that go to standard output, where a command is given - as their name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import BinaryIO

from lipserve.errors import OptionsError

STANDARD_OUTPUT = "-"


def target_of(name: str) -> str | BinaryIO:
    """Return where a binary result goes, or raise OptionsError where that is a terminal."""
    if name != STANDARD_OUTPUT:
        return name
    if sys.stdout.isatty():
        raise OptionsError(
            "-o - writes the result to standard output, which is a terminal.",
            "Redirect it, as in: lipserve dub VIDEO SPEECH -o - | ffplay -",
        )
    return sys.stdout.buffer


def check_one_stream(names: Sequence[str | None]) -> bool:
    """Return whether a result goes to standard output; raise OptionsError where several do."""
    count = list(names).count(STANDARD_OUTPUT)
    if count > 1:
        raise OptionsError("Two results go to standard output.", "Name a file for one of them.")
    return count == 1
