"""A result that is handed out while the rest of it is still made."""

from __future__ import annotations

import asyncio
import io
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import cast

from lipserve.report import Report
from lipserve_client._blocking import iterate
from lipserve_client._output import Output

_AHEAD = 8 << 20  # bytes that are made before anybody has taken those before them


class StreamOutput(Output):
    """An output whose bytes are taken while more are written: one way, nothing is sought."""

    streamed = True

    def __init__(self) -> None:
        super().__init__(None)
        self.file.close()
        self._pipe = _Pipe(asyncio.get_running_loop())
        self.file = cast(io.BufferedIOBase, self._pipe)  # type: ignore[assignment]

    async def taken(self) -> None:
        """Wait while much has been written that nobody has taken."""
        await self._pipe.taken()

    def end(self) -> None:
        """Tell that no more will be written."""
        self._pipe.end()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what is written, as it is written, until the end."""
        while (chunk := await self._pipe.take()) is not None:
            yield chunk


class DubStream:
    """A dubbed clip as a stream of bytes: an MP4 in fragments. Iterate over it, once.

    Leaving it before its end gives the call up.

    Attributes:
        report: of the whole clip, once the stream has ended.
    """

    def __init__(self, make: Callable[[StreamOutput], Awaitable[Report]]) -> None:
        self._make = make
        self.report: Report | None = None

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        output = StreamOutput()

        async def made() -> None:
            try:
                self.report = await self._make(output)
            finally:
                output.end()

        task = asyncio.ensure_future(made())
        try:
            async for chunk in output.chunks():
                yield chunk
            await task
        finally:
            task.cancel()
            await asyncio.wait([task])
            output.discard()


class BlockingStream:
    """`DubStream` for code that is not asynchronous: iterate over it, once.

    Attributes:
        report: of the whole clip, once the stream has ended.
    """

    def __init__(self, open_stream: Callable[[], DubStream]) -> None:
        self._open = open_stream
        self.report: Report | None = None

    def __iter__(self) -> Iterator[bytes]:
        return iterate(self._chunks)

    async def _chunks(self) -> AsyncGenerator[bytes]:
        stream = self._open()
        async with aclosing(stream.__aiter__()) as chunks:
            async for chunk in chunks:
                yield chunk
        self.report = stream.report


class _Pipe(io.RawIOBase):
    """Bytes from the thread that writes them to the loop that takes them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._chunks: deque[bytes] = deque()
        self._waiting = 0  # bytes
        self._ended = False
        self._changed = asyncio.Event()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        chunk = bytes(data)
        self._loop.call_soon_threadsafe(self._put, chunk)
        return len(chunk)

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    async def take(self) -> bytes | None:
        """Return the next chunk; None after the last."""
        while not self._chunks:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        chunk = self._chunks.popleft()
        self._waiting -= len(chunk)
        self._changed.set()
        return chunk

    async def taken(self) -> None:
        while self._waiting > _AHEAD and not self._ended:
            self._changed.clear()
            await self._changed.wait()

    def _put(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._waiting += len(chunk)
        self._changed.set()
