"""Processes that one command starts: watched, started anew when they die, ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger("lipserve.jobs")
_CALM_SECONDS = 60.0  # a process that has lived so long is begun anew at once
_LONGEST_PAUSE = 30.0


@dataclass
class Child:
    """A process that should always run.

    Attributes:
        log: file that its output is appended to.
        patience: seconds that it has between SIGTERM and SIGKILL.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    patience: float = 30.0
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)
    starts: int = 0

    async def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                env=dict(self.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others in order
            )
        self.starts += 1

    async def watch(self) -> None:
        """Start it, and again whenever it has ended."""
        pause = 0.5
        while True:
            began = time.monotonic()
            await self.start()
            assert self.process is not None
            code = await self.process.wait()
            lived = time.monotonic() - began
            pause = 0.5 if lived > _CALM_SECONDS else min(_LONGEST_PAUSE, pause * 2)
            log.warning(
                "%s ended (exit code %s); it starts anew in %.1f s: %s", self.name, code, pause, self.log
            )
            await asyncio.sleep(pause)

    async def end(self) -> None:
        """Ask it to end; a process that does not is killed."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), self.patience)
            except TimeoutError:
                process.kill()
                await process.wait()


@contextlib.asynccontextmanager
async def running(children: Sequence[Child]):  # type: ignore[no-untyped-def]
    """Run processes, begun in order; they end in the opposite order when the block is left."""
    watching: list[tuple[Child, asyncio.Task[None]]] = []
    try:
        for child in children:
            watching.append((child, asyncio.create_task(child.watch())))
        yield
    finally:
        for child, task in reversed(watching):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await asyncio.shield(child.end())
