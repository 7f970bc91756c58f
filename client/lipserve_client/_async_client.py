"""The asynchronous client; `Client` runs it in an event loop of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import DEFAULT_TIER, TIER_NAMES, TierName
from lipserve.cues import CueSource
from lipserve.errors import NoFaceError, OptionsError
from lipserve.files.picture import MediaSource
from lipserve.options import Options
from lipserve.options.keywords import DubFields, GenerateFields
from lipserve.quality.cast import FacesResult
from lipserve.quality.results import CheckResult
from lipserve.report import Report
from lipserve.segments import Span
from lipserve.tiers import DEFAULT_PAINTER
from lipserve_client._bounds import bounded, checked
from lipserve_client._cancel import CancelToken, in_thread
from lipserve_client._check import check
from lipserve_client._clip import Clip, merge_options
from lipserve_client._config import DEFAULT_URL, TLS, parse_urls
from lipserve_client._estimate import Estimate, calibrate, checked_price, of_clip, plain
from lipserve_client._faces import face_call, faces_of
from lipserve_client._film import Film
from lipserve_client._fleet import RETRIES, Fleet, TransportFactory
from lipserve_client._making import OnProgress
from lipserve_client._output import Output
from lipserve_client._people import find_people
from lipserve_client._prepare import prepare
from lipserve_client._provenance import Provenance, Signing, of_stream
from lipserve_client._results import DubResult, ModelStatus, ServerHealth
from lipserve_client._status import server_health, server_models, server_tiers
from lipserve_client._stream import DubStream, StreamOutput
from lipserve_client._targets import Target
from lipserve_client._timeline import Direction, Range
from lipserve_client._transports import SharedMemory, open_transport
from lipserve_client._wanted import Wanted, with_people

if TYPE_CHECKING:
    from lipserve_client._jobs import AsyncJobs


class AsyncClient:
    """`Client` for code that is asynchronous: the same arguments, and every call is awaited.

    Event loops may share one. A cancelled task cancels its call, and removes what was written.
    """

    def __init__(
        self,
        urls: str | Sequence[str] = DEFAULT_URL,
        *,
        shm: SharedMemory = "none",
        transport: TransportFactory | None = None,
        timeout: float | None = None,
        retries: int = RETRIES,
        tls: TLS | None = None,
        concurrency: int = 3,
        headers: Mapping[str, str | bytes] | None = None,
        provenance: Provenance | bool = True,
        jobs: str | None = None,
        jobs_key: str | None = None,
    ) -> None:
        if concurrency < 1:
            raise OptionsError(f"concurrency={concurrency} is below 1.", "Give 1 or more.")
        self._timeout = checked(timeout)
        self._concurrency = concurrency
        self._provenance = Provenance.of(provenance)
        self._fleet = Fleet(
            parse_urls(urls),
            transport or (lambda connection: open_transport(connection, shm)),
            tls=tls,
            headers=headers,
            retries=retries,
        )
        self._gateway = jobs, jobs_key, timeout, retries

    @cached_property
    def jobs(self) -> AsyncJobs:
        """The calls of the service for jobs that `jobs` names."""
        from lipserve_client._jobs import AsyncJobs

        url, key, timeout, retries = self._gateway
        return AsyncJobs(url, key=key, timeout=timeout, retries=retries)

    async def dub(
        self,
        video: MediaSource,
        speech: MediaSource | None = None,
        options: Options | None = None,
        *,
        tier: TierName = DEFAULT_TIER,
        source: MediaSource | None = None,
        cues: CueSource | None = None,
        bypass: Sequence[Range] = (),
        background: MediaSource | None = None,
        background_lufs: float | None = None,
        loudness: float | None = None,
        output: Target | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **overrides: Unpack[DubFields],
    ) -> DubResult:
        """Return the clip with lips that follow the speech: `Client.dub`, awaited.

        `on_progress` is called from the event loop.
        """
        wanted = Wanted(
            video,
            speech,
            merge_options(options, overrides, tier),
            tier,
            source,
            Direction(cues, tuple(bypass), background, background_lufs, loudness),
        )
        async with self._bounds(timeout, cancel):
            return await self._dub(wanted, output, on_progress)

    def dub_stream(
        self,
        video: MediaSource,
        speech: MediaSource | None = None,
        options: Options | None = None,
        *,
        tier: TierName = DEFAULT_TIER,
        source: MediaSource | None = None,
        cues: CueSource | None = None,
        bypass: Sequence[Range] = (),
        background: MediaSource | None = None,
        background_lufs: float | None = None,
        loudness: float | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **overrides: Unpack[DubFields],
    ) -> DubStream:
        """Return the dubbed clip as a stream: `Client.dub_stream`, to be iterated over with `async for`."""
        wanted = Wanted(
            video,
            speech,
            merge_options(options, overrides, tier),
            tier,
            source,
            Direction(cues, tuple(bypass), background, background_lufs, loudness),
        )

        async def make(output: StreamOutput) -> Report:
            async with self._bounds(timeout, cancel):
                unsigned = of_stream(self._provenance)
                known = await with_people(wanted, self._fleet, self._concurrency)
                run = await in_thread(known.run, self._fleet, on_progress, True)
                await run.make(output, self._concurrency)
                report = run.report()
                return report.model_copy(update={"warnings": [*report.warnings, *unsigned]})

        return DubStream(make)

    async def prepare(
        self,
        video: MediaSource,
        *,
        face: str = "largest",
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> bytes:
        """Return the SOURCE of a video, a few MB: `Client.prepare`, awaited."""
        async with self._bounds(timeout, cancel):
            film = await in_thread(Film, video)
            prepared = await prepare(self._fleet, film, Span(0, film.info.frames), face)
        if not prepared.source.people:
            raise NoFaceError(
                "No face was found in the video.", "Prepare a video that shows a face from the front."
            )
        return prepared.data

    async def check(
        self,
        video: MediaSource,
        speech: MediaSource | None = None,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> CheckResult:
        """Return the measurements of a video: `Client.check`, awaited."""
        async with self._bounds(timeout, cancel):
            return await check(self._fleet, video, speech, on_progress, self._concurrency)

    async def estimate(
        self,
        video: MediaSource,
        speech: MediaSource,
        options: Options | None = None,
        *,
        tier: TierName = DEFAULT_TIER,
        price_per_hour: float | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **overrides: Unpack[DubFields],
    ) -> Estimate:
        """Return what a call of `dub` would take: `Client.estimate`, awaited."""
        price = checked_price(price_per_hour)
        merged = merge_options(options, overrides, tier)
        if merged.by_people:  # the result is as long as the video, and driven at most as long as the speech
            merged = merged.model_copy(update={"face": "largest", "on_length_mismatch": "keep"})

        async def dub(film: bytes, sound: bytes) -> Report:
            wanted = Wanted(film, sound, plain(merged), tier, None, Direction())
            return (await self._dub(wanted, None, None)).report

        async with self._bounds(timeout, cancel):
            clip = await in_thread(Clip, video, speech, merged, tier)
            found, spent = await calibrate(dub, clip, self._concurrency)
        return of_clip(clip, tier, found, spent, self._concurrency, price)

    async def faces(
        self,
        video: MediaSource,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> FacesResult:
        """Return who is in a video, and who speaks when: `Client.faces`, awaited."""
        async with self._bounds(timeout, cancel):
            people = await find_people(self._fleet, video, on_progress, self._concurrency)
            return await in_thread(people.result)

    async def generate(
        self,
        faces: NDArray[np.uint8],
        speech: NDArray[np.float32],
        *,
        fps: Fraction | int | str = 25,
        frames: NDArray[np.int32] | None = None,
        tracks: NDArray[np.int32] | None = None,
        tier: TierName = DEFAULT_PAINTER,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **options: Unpack[GenerateFields],
    ) -> NDArray[np.uint8]:
        """Return face crops [N, S, S, 3] whose lips follow the speech: `Client.generate`, awaited."""
        call = face_call(tier, faces, speech, fps=fps, frames=frames, tracks=tracks, **options)
        async with self._bounds(timeout, cancel):
            return faces_of(await self._fleet.infer(call), faces.shape)

    async def _dub(self, wanted: Wanted, output: Target | None, on_progress: OnProgress | None) -> DubResult:
        began = time.perf_counter()
        signing = await in_thread(Signing, self._provenance)
        with Output(output, wanted.files) as target:
            wanted = await with_people(wanted, self._fleet, self._concurrency)
            run = await in_thread(wanted.run, self._fleet, on_progress)
            await run.make(target, self._concurrency)
            made = wanted.video, run.speeches, wanted.options.consent
            report = await in_thread(signing.finish, target, run.report(), *made)
            result = await in_thread(target.commit)
        return DubResult(
            path=result if isinstance(result, Path) else None,
            report=report,
            seconds=time.perf_counter() - began,
            request_seconds=tuple(run.request_seconds),
            retries=run.retries,
            prepare_seconds=run.prepare_seconds,
            _content=result if isinstance(result, bytes) else None,
        )

    async def models(self) -> list[ModelStatus]:
        """Return the models of every server."""
        lists = (server_models(connection) for connection in self._fleet.connections)
        return [status for found in await asyncio.gather(*lists) for status in found]

    async def tiers(self) -> tuple[TierName, ...]:
        """Return the tiers that at least one of the servers has ready; those that are away are passed over.

        Raises:
            ConnectError: none answers.
        """
        asked = (server_tiers(connection) for connection in self._fleet.connections)
        told = await asyncio.gather(*asked, return_exceptions=True)
        errors = [each for each in told if isinstance(each, BaseException)]
        if len(errors) == len(told):
            raise errors[0]
        had = {tier for each in told if not isinstance(each, BaseException) for tier in each}
        return tuple(tier for tier in TIER_NAMES if tier in had)

    async def health(self, *, deep: bool = False) -> list[ServerHealth]:
        """Return the health of every server; with `deep`, after one canary to every model.

        A server that does not answer is a ServerHealth that is not `ok`, not an exception.
        """
        checks = (server_health(connection, deep) for connection in self._fleet.connections)
        return list(await asyncio.gather(*checks))

    async def close(self) -> None:
        """Close the connections; calls in flight are cancelled."""
        await self._fleet.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _bounds(self, timeout: float | None, cancel: CancelToken | None) -> AbstractAsyncContextManager[None]:
        return bounded(checked(timeout) if timeout is not None else self._timeout, cancel)
