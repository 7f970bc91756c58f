"""What all results in the making share: requests, a SOURCE for each clip, progress."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from lipserve.errors import NoFaceError
from lipserve.files.picture import MediaSource
from lipserve.report import Report
from lipserve_client._cancel import in_thread
from lipserve_client._clip import Clip
from lipserve_client._fleet import Fleet
from lipserve_client._output import Output
from lipserve_client._prepare import prepare

OnProgress = Callable[[int, int], None]
Answer = tuple[bytes, tuple[Report, ...]]
"""A piece: a file with its pictures, and the reports of the requests for it."""
Add = Callable[[int, Answer], Awaitable[None]]
"""Takes the pieces in order, each with its place."""


class Making(ABC):
    """A result in progress: pieces, which can be made in any order, and anywhere, and are then joined.

    Args:
        frames: of the result.

    Attributes:
        prepare_seconds: until every clip had a SOURCE; 0 where none was made.
        request_seconds: of each request, in the order of the segments, or of their answers.
        retries: requests that were sent again.
    """

    def __init__(self, fleet: Fleet, frames: int, on_progress: OnProgress | None) -> None:
        self._fleet, self._frames, self._on_progress = fleet, frames, on_progress
        self._done = 0
        self.prepare_seconds = 0.0
        self.request_seconds: list[float] = []
        self.retries = 0
        self._retries_told = 0

    @property
    @abstractmethod
    def clips(self) -> list[Clip]:
        """The speeches, each on the video."""

    @property
    @abstractmethod
    def counts(self) -> list[int]:
        """Frames of each piece, in order."""

    @property
    def first_driven(self) -> int | None:
        """The piece that `joining` needs before the first one; None: none."""
        return None

    @abstractmethod
    async def piece(self, place: int) -> Answer:
        """Make a piece. Where it shows no face it passes through, and the whole is judged in the end."""

    @abstractmethod
    def joining(self, output: Output, begun: Answer | None = None) -> AbstractAsyncContextManager[Add]:
        """Return a context whose value takes every piece, in order; the result is whole when it is left.

        Args:
            begun: the piece `first_driven`.
        """

    @abstractmethod
    def check_faces(self) -> None:
        """Raise NoFaceError where a clip asks for a face, and no piece that was joined shows one."""

    @property
    @abstractmethod
    def speeches(self) -> tuple[MediaSource, ...]:
        """The files whose sound the result has, each once."""

    @abstractmethod
    def report(self) -> Report:
        """Return the report of the whole, once it is joined."""

    def new_retries(self) -> int:
        """Return how often requests were sent again since this was asked last."""
        new, self._retries_told = self.retries - self._retries_told, self.retries
        return new

    async def prepare(self) -> None:
        """Prepare what several requests share."""
        for clip in self.clips:
            await self._prepare(clip)

    async def _prepare(self, clip: Clip) -> None:
        """Prepare a clip of several requests, so that all of them know the same person."""
        if not (clip.spans and clip.unprepared):
            return
        began = time.perf_counter()
        prepared = await prepare(self._fleet, clip.film, clip.needed, clip.options.face)
        self.prepare_seconds += time.perf_counter() - began
        self.retries += prepared.retries
        if not prepared.source.people and clip.options.on_no_face == "error":
            raise self._no_face(clip)
        clip.source = prepared.data

    async def _sent(
        self, clip: Clip, index: int, passthrough: bool = False, lossless: bool = False
    ) -> tuple[bytes, Report, float]:
        """Return the answer to a segment, its report, and how long it took; arguments as `Clip.request`."""
        call = await in_thread(clip.request, index, passthrough, lossless)
        began = time.perf_counter()
        answer = await self._fleet.infer(call)
        seconds = time.perf_counter() - began
        self.retries += answer.retries
        film, report = await in_thread(clip.result_form(index).check, answer.tensors)
        return film, report, seconds

    def _no_face(self, clip: Clip) -> NoFaceError:
        """Return the error of a clip that shows no face."""
        return NoFaceError(
            f"No face was found in the video{self._which(clip)}.",
            "Send a video that shows a face from the front, or set on_no_face=passthrough.",
        )

    def _which(self, clip: Clip) -> str:
        """Return words that name a clip among several."""
        return ""

    def _tell(self, frames: int) -> None:
        self._done += frames
        if self._on_progress is not None:
            self._on_progress(self._done, self._frames)
