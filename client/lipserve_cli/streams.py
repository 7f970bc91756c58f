"""Results on standard output: the file name - of a command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import BinaryIO

from lipserve.errors import OptionsError

STANDARD_OUTPUT = "-"


def target_of(name: str) -> str | BinaryIO:
    """Return the target of a binary result, or raise OptionsError if it is a terminal."""
    if name != STANDARD_OUTPUT:
        return name
    if sys.stdout.isatty():
        raise OptionsError(
            "-o - writes the result to standard output, but that is a terminal.",
            "Redirect it, as in: lipserve dub VIDEO SPEECH -o - | ffplay -",
        )
    return sys.stdout.buffer


def check_one_stream(names: Sequence[str | None]) -> bool:
    """Return whether a result goes to standard output; OptionsError if more than one does."""
    count = list(names).count(STANDARD_OUTPUT)
    if count > 1:
        raise OptionsError("Two results would be written to standard output.", "Give a file for one of them.")
    return count == 1
