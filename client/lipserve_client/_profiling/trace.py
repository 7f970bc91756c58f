"""Each clip as a trace of its own: what this client did for it, and what the servers tell of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lipserve.errors import SetupError
from lipserve_client._connection import TRACEPARENT
from lipserve_client._profiling.spans import Collector, Context, Span

WAIT_SECONDS = (
    10.0  # for spans: OpenTelemetry's exporters send every five seconds where nobody says otherwise
)


class Trace:
    """Makes the requests of a block children of a span, and collects theirs from `collector`."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._clips: list[Span] = []

    @contextmanager
    def clip(self) -> Iterator[None]:
        """Trace what this block asks of the servers."""
        context = Context(secrets.token_hex(16), secrets.token_hex(8))
        self._collector.watch(context)
        before = TRACEPARENT.set(context.traceparent)
        start = time.time_ns()
        try:
            yield
        finally:
            TRACEPARENT.reset(before)
            self._clips.append(Span(context.trace, context.span, "", "clip", "", start, time.time_ns()))

    async def settle(self) -> bool:
        """Return whether the servers' spans of every clip so far came.

        A server sends a request's own span after those of the models that it called.
        """
        clips = [clip.id for clip in self._clips]
        return await asyncio.to_thread(self._collector.wait, clips, WAIT_SECONDS)

    async def begin(self) -> None:
        """Forget the clips so far; raise SetupError where the servers have sent no spans of them."""
        if not await self.settle():
            raise SetupError(
                f"No spans came to {self._collector.url} within {WAIT_SECONDS:g} s.",
                f"Start the server with `lipserve serve --trace-to {self._collector.url}`, or send another "
                "Triton's traces there (docs/operations.md).",
            )
        self._clips.clear()

    def spans(self) -> list[Span]:
        """Return the spans of every clip, the client's own among them."""
        traces = {clip.trace for clip in self._clips}
        return [*self._clips, *(span for span in self._collector.spans() if span.trace in traces)]
