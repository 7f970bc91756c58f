"""Progress bars: of the frames of a video that is made, and of the bytes of files that are sent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from lipserve_client._making import OnProgress


@contextmanager
def frames_bar(quiet: bool, what: str = "lip-syncing") -> Iterator[OnProgress | None]:
    """Yield the callback (frames done, frames in all); None if `quiet` or stderr is no terminal.

    Args:
        what: told beside the bar, in rich's markup.
    """
    with _bar(quiet, what, "reading", MofNCompleteColumn(), TextColumn("frames, time left")) as update:
        yield update


@contextmanager
def counting_bar(quiet: bool, what: str) -> Iterator[OnProgress | None]:
    """Yield the callback (things done, things in all); None if `quiet` or stderr is no terminal."""
    with _bar(quiet, "waiting", "waiting", MofNCompleteColumn(), TextColumn(what)) as update:
        yield update


@contextmanager
def bytes_bar(quiet: bool) -> Iterator[OnProgress | None]:
    """Yield the callback (bytes sent, bytes in all); None if `quiet` or stderr is no terminal."""
    with _bar(quiet, "sending", "reading", DownloadColumn(), TextColumn("time left")) as update:
        yield update


@contextmanager
def _bar(quiet: bool, what: str, before: str, *shown: ProgressColumn) -> Iterator[OnProgress | None]:
    if quiet or not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), *shown, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(before, total=None)

        def update(done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        yield update
