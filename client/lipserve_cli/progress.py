"""The progress bar of the commands that make a video."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lipserve_client._making import OnProgress


@contextmanager
def frames_bar(quiet: bool, what: str = "lip-syncing") -> Iterator[OnProgress | None]:
    """Yield the callback (frames done, frames in all); None if `quiet` or stderr is no terminal.

    Args:
        what: told beside the bar, in rich's markup.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames, time left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=None)

        def update(done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        yield update
