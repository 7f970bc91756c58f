"""One clip in progress: its requests, its progress, its report."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from lipserve import report as reports
from lipserve.errors import NoFaceError
from lipserve.files.picture import MediaSource
from lipserve.media.join import Joiner
from lipserve.report import Report
from lipserve_client._cancel import in_thread
from lipserve_client._clip import Clip
from lipserve_client._fleet import Fleet
from lipserve_client._making import Add, Answer, Making, OnProgress
from lipserve_client._output import Output

T = TypeVar("T")


class Run(Making):
    """Sends the requests of `clip`."""

    def __init__(self, fleet: Fleet, clip: Clip, speech: MediaSource, on_progress: OnProgress | None) -> None:
        super().__init__(fleet, clip.frames, on_progress)
        self._clip, self._speech = clip, speech
        self._reports: list[Report] = []
        self.request_seconds = [0.0] * len(clip.spans)

    async def make(self, output: Output, concurrency: int) -> None:
        """Write the result; if several segments must agree on the people, the clip is prepared first."""
        self._tell(0)
        await self.prepare()
        faceless: list[int] = []  # the first segments, as long as no face has been seen
        async with self.joining(output) as add:

            async def accept(index: int, answer: Answer | None) -> None:
                if answer is None and not self._reports:
                    faceless.append(index)
                    return
                while faceless:
                    await self._add(add, faceless.pop(0), None)
                await self._add(add, index, answer)

            await in_order(len(self._clip.spans), self._look_for_a_face, accept, concurrency)
            if faceless:
                raise self._no_face(self._clip)

    @property
    def clips(self) -> list[Clip]:
        return [self._clip]

    @property
    def counts(self) -> list[int]:
        return [span.count for span in self._clip.spans]

    async def piece(self, place: int) -> Answer:
        if self._clip.whole:
            return await self._request(place)
        answer = await self._look_for_a_face(place)
        return answer or await self._request(place, passthrough=True)

    @asynccontextmanager
    async def joining(self, output: Output, begun: Answer | None = None) -> AsyncIterator[Add]:
        if self._clip.whole:

            async def whole(place: int, answer: Answer) -> None:
                self._keep(answer)
                await in_thread(output.write, answer[0])

            yield whole
            return
        track = self._clip.options.audio_track
        fps, streamed = self._clip.info.fps, output.streamed
        joiner = await in_thread(Joiner, output.file, fps, self._speech, track, None, streamed)

        async def add(place: int, answer: Answer) -> None:
            self._keep(answer)
            await in_thread(joiner.add, answer[0])
            await output.taken()

        try:
            yield add
            await in_thread(joiner.close)
        except BaseException:
            await in_thread(joiner.abort)
            raise

    @property
    def speeches(self) -> tuple[MediaSource, ...]:
        return (self._speech,)

    def report(self) -> Report:
        return reports.join(self._reports)

    def check_faces(self) -> None:
        if self._clip.options.on_no_face == "error" and not any(report.faces for report in self._reports):
            raise self._no_face(self._clip)

    def _keep(self, answer: Answer) -> None:
        self._reports += answer[1]

    async def _add(self, add: Add, index: int, answer: Answer | None) -> None:
        await add(index, answer or await self._request(index, passthrough=True))

    async def _look_for_a_face(self, index: int) -> Answer | None:
        """Return the answer to a segment, or None if it was refused because it shows no face.

        A clip is refused when no segment shows one, which costs no more than the search: only a clip that
        shows a face somewhere has its other segments passed through.
        """
        try:
            return await self._request(index, passthrough=bool(self._reports))
        except NoFaceError:
            if self._clip.whole:
                raise
            return None

    async def _request(self, index: int, passthrough: bool = False) -> Answer:
        film, report, self.request_seconds[index] = await self._sent(self._clip, index, passthrough)
        self._tell(self._clip.spans[index].count)
        return film, (report,)


async def in_order(
    count: int,
    work: Callable[[int], Awaitable[T]],
    accept: Callable[[int, T], Awaitable[None]],
    concurrency: int,
) -> None:
    """Call `work(i)` for i < `count`, `concurrency` at once, and `accept(i, its result)` in order of i.

    At most `2 * concurrency` segments exist at any time, whatever `count`: a result that waits for a slow
    one before it holds back those after it. The first failure cancels the rest and is raised.
    """
    flight = asyncio.Semaphore(concurrency)

    async def fly(index: int) -> T:
        async with flight:
            return await work(index)

    waiting: deque[tuple[int, asyncio.Task[T]]] = deque()

    async def land() -> None:
        index, task = waiting.popleft()
        await accept(index, await task)

    try:
        async with asyncio.TaskGroup() as group:
            for index in range(count):
                if len(waiting) == 2 * concurrency:
                    await land()
                waiting.append((index, group.create_task(fly(index))))
            while waiting:
                await land()
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    error = failures.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
