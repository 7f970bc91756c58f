"""Results on standard output, the file name - of a command; and results that are written as they are made."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from lipserve.errors import OptionsError
from lipserve_client._client import Client
from lipserve_client._results import DubResult
from lipserve_client._targets import check_target, explained

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


def stream(
    client: Client, video: str, speech: str | None, output: str | BinaryIO, **wanted: Any
) -> DubResult:
    """Write a dubbed clip while the rest of it is still made.

    Args:
        output: a path, or an open file. Of a call that fails no file is left.
        **wanted: keywords of `Client.dub_stream`.
    """
    began = time.perf_counter()
    sources = tuple(file for file in (video, speech, wanted.get("source")) if file is not None)
    with _opened(output, sources) as file:
        pieces = client.dub_stream(video, speech, **wanted)
        for piece in pieces:
            file.write(piece)
            file.flush()
    assert pieces.report is not None
    return DubResult(None, pieces.report, time.perf_counter() - began, (), 0)


@contextmanager
def _opened(output: str | BinaryIO, sources: tuple[str, ...]) -> Iterator[BinaryIO]:
    if not isinstance(output, str):
        yield output
        return
    path = check_target(Path(output), sources)
    with explained(path.parent):
        try:
            with path.open("wb") as file:
                yield file
        except BaseException:
            path.unlink(missing_ok=True)
            raise
