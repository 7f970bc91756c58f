"""The asynchronous client of a gateway; `Jobs` runs it in an event loop of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from os import PathLike
from typing import Any, Unpack

from lipserve.contracts import DEFAULT_TIER, TierName
from lipserve.cues import CueSource
from lipserve.errors import ConnectError
from lipserve.files.picture import MediaSource
from lipserve.options import Options
from lipserve.options.keywords import DubFields
from lipserve.quality.cast import FacesResult
from lipserve.quality.results import CheckResult
from lipserve_client._bounds import SHORTER, bounded, checked
from lipserve_client._cancel import CancelToken
from lipserve_client._clip import merge_options
from lipserve_client._config import TLS
from lipserve_client._estimate import Estimate
from lipserve_client._fleet import RETRIES
from lipserve_client._jobs import events, manifest, results
from lipserve_client._jobs.http import Gateway, Session
from lipserve_client._jobs.records import (
    Batch,
    Job,
    Kind,
    Priority,
    State,
    Usage,
    batch_of,
    job_of,
    page_of,
    tiers_of,
    usage_of,
)
from lipserve_client._jobs.results import Measured
from lipserve_client._jobs.uploads import OnUpload, Uploads
from lipserve_client._jobs.wishes import Wishes
from lipserve_client._making import OnProgress
from lipserve_client._results import DubResult
from lipserve_client._targets import Target
from lipserve_client._timeline import Direction, Range

GOES_ON = "The job goes on: wait for it again, or set a longer timeout."


class AsyncJobs:
    """`Jobs` for code that is asynchronous: the same arguments, and every call is awaited.

    Event loops may share one. A cancelled task gives its call up, and removes what was written; a job that
    was sent goes on.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float | None = None,
        retries: int = RETRIES,
        tls: TLS | None = None,
    ) -> None:
        self._gateway = Gateway(url, key, tls, retries)
        self._timeout = checked(timeout)

    async def submit(
        self,
        video: MediaSource,
        speech: MediaSource | None = None,
        options: Options | None = None,
        *,
        kind: Kind = "dub",
        tier: TierName = DEFAULT_TIER,
        source: MediaSource | None = None,
        cues: CueSource | None = None,
        bypass: Sequence[Range] = (),
        background: MediaSource | None = None,
        background_lufs: float | None = None,
        loudness: float | None = None,
        priority: Priority = "normal",
        webhook: str | None = None,
        result: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        on_upload: OnUpload | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **overrides: Unpack[DubFields],
    ) -> Job:
        """Send a job, and return it as soon as the gateway has it: `Jobs.submit`, awaited."""
        wishes = Wishes(
            video,
            speech,
            merge_options(options, overrides, tier),
            tier,
            source,
            Direction(cues, tuple(bypass), background, background_lufs, loudness),
            kind=kind,
            priority=priority,
            webhook=webhook,
            result=result,
            name=name,
            metadata=metadata,
        )
        async with self._bounds(timeout, cancel), self._gateway.session() as session:
            return await _submitted(session, wishes, on_upload, idempotency_key)

    async def upload(
        self,
        file: MediaSource,
        *,
        on_upload: OnUpload | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> str:
        """Send a file that several jobs are to use, and return its reference: `Jobs.upload`, awaited."""
        async with self._bounds(timeout, cancel), self._gateway.session() as session:
            return await Uploads(session, on_upload).reference(file)

    async def get(self, job: Job | str) -> Job:
        """Return a job as it is now."""
        return job_of(await self._json("GET", _path(job)))

    async def list(
        self,
        *,
        state: State | None = None,
        kind: Kind | None = None,
        batch: Batch | str | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[Job]:
        """Yield jobs, the newest first: `Jobs.list`, to be iterated over with `async for`."""
        left, after = limit, None
        while left is None or left > 0:
            found, after = await self.page(left, after, state=state, kind=kind, batch=batch)
            for job in found:
                yield job
            left = None if left is None else left - len(found)
            if after is None:
                return

    async def page(
        self,
        limit: int | None,
        after: str | None,
        *,
        state: State | None = None,
        kind: Kind | None = None,
        batch: Batch | str | None = None,
    ) -> tuple[Sequence[Job], str | None]:
        """Return a page of `list`, at most `limit` jobs, and where the next one begins; None: nowhere."""
        count = _PAGE if limit is None else min(_PAGE, limit)
        asked = {"limit": count, "after": after, "state": state, "kind": kind}
        asked["batch"] = None if batch is None else _id(batch)
        params = {name: value for name, value in asked.items() if value is not None}
        return page_of(await self._json("GET", "/v1/jobs", params=params))

    async def events(self, job: Job | str) -> AsyncGenerator[Job]:
        """Yield a job as it is, then after every change, until it has ended: `Jobs.events`."""
        async with self._gateway.session() as session, aclosing(events.changes(session, _id(job))) as told:
            async for change in told:
                yield change

    async def ended(
        self,
        job: Job | str,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> Job:
        """Wait until a job of any kind has ended, however, and return it."""
        async with self._bounds(timeout, cancel, GOES_ON), self._gateway.session() as session:
            return await _ended(session, _id(job), on_progress)

    async def wait(
        self,
        job: Job | str,
        *,
        output: Target | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> DubResult:
        """Wait until a job is done, and return its result: `Jobs.wait`, awaited."""
        async with self._bounds(timeout, cancel, GOES_ON), self._gateway.session() as session:
            return await results.dubbed(session, await _ended(session, _id(job), on_progress), output)

    async def measured(
        self,
        job: Job | str,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> Measured:
        """Wait until a job that measures is done, and return what it found: `Jobs.measured`, awaited."""
        async with self._bounds(timeout, cancel, GOES_ON), self._gateway.session() as session:
            return await results.measured(session, await _ended(session, _id(job), on_progress))

    async def sheet(self, job: Job | str) -> bytes:
        """Return the contact sheet of a job that is done, a PNG: `Jobs.sheet`, awaited."""
        async with self._gateway.session() as session:
            return (await session.call("GET", f"{_path(job)}/sheet", timeout=_SHEET_SECONDS)).content

    async def cancel(self, job: Job | str) -> Job:
        """End a job at once, and return it; one that has ended stays as it is."""
        return job_of(await self._json("DELETE", _path(job)))

    async def retry(self, job: Job | str) -> Job:
        """Begin a job anew that failed or was cancelled; what of it is made already is kept."""
        try:
            return job_of(await self._json("POST", f"{_path(job)}/retry", repeat=False))
        except ConnectError:  # the answer may be lost, and the job begun
            now = await self.get(job)
            if now.state in ("failed", "cancelled"):
                raise
            return now

    async def erase(self, job: Job | str) -> None:
        """Cancel a job, and remove it with everything that belongs to it: files, result, report."""
        async with self._gateway.session() as session:
            await session.call("DELETE", _path(job), params={"erase": "true"})

    async def batch(
        self,
        rows: Iterable[Mapping[str, Any]] | str | PathLike[str],
        *,
        name: str = "",
        idempotency_key: str | None = None,
        on_upload: OnUpload | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> Batch:
        """Send many jobs together: `Jobs.batch`, awaited."""
        async with self._bounds(timeout, cancel), self._gateway.session() as session:
            uploads = Uploads(session, on_upload, known=idempotency_key is not None)
            content, media_type = await manifest.of(rows, uploads)
            headers = {"content-type": media_type, "idempotency-key": idempotency_key or uuid.uuid4().hex}
            sent = session.json(
                "POST", "/v1/batches", content=content, headers=headers, params={"name": name}
            )
            return batch_of(await sent)

    async def get_batch(self, batch: Batch | str) -> Batch:
        """Return a batch as it is now."""
        return batch_of(await self._json("GET", f"/v1/batches/{_id(batch)}"))

    async def wait_batch(
        self,
        batch: Batch | str,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> Batch:
        """Wait until every job of a batch has ended, and return it: `Jobs.wait_batch`, awaited."""
        async with self._bounds(timeout, cancel, GOES_ON), self._gateway.session() as session:
            return await events.batch_ended(session, _id(batch), on_progress)

    async def as_ended(self, batch: Batch | str) -> AsyncGenerator[Job]:
        """Yield each job of a batch once it has ended: `Jobs.as_ended`, iterated over with `async for`."""
        async with self._gateway.session() as session, aclosing(events.as_ended(session, _id(batch))) as told:
            async for job in told:
                yield job

    async def cancel_batch(self, batch: Batch | str) -> Batch:
        """Cancel every job of a batch that has not ended."""
        return batch_of(await self._json("DELETE", f"/v1/batches/{_id(batch)}"))

    async def erase_batch(self, batch: Batch | str) -> None:
        """Cancel a batch, and remove it with its jobs and all that belongs to them: `Jobs.erase_batch`."""
        path, params = f"/v1/batches/{_id(batch)}", {"erase": "true"}
        async with self._gateway.session() as session:
            await session.call("DELETE", path, params=params, timeout=_BATCH_SECONDS)

    async def estimate(
        self,
        video: MediaSource,
        speech: MediaSource,
        options: Options | None = None,
        *,
        tier: TierName = DEFAULT_TIER,
        on_upload: OnUpload | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        **overrides: Unpack[DubFields],
    ) -> Estimate:
        """Return what a dub would take of the service's servers: `Jobs.estimate`, awaited."""
        wishes = Wishes(video, speech, merge_options(options, overrides, tier), tier, kind="estimate")
        async with self._bounds(timeout, cancel), self._gateway.session() as session:
            return await results.estimated(session, await _measured(session, wishes, on_upload, None))

    async def faces(
        self,
        video: MediaSource,
        *,
        on_upload: OnUpload | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> FacesResult:
        """Return who is in a video, and who speaks when: `Jobs.faces`, awaited."""
        wishes = Wishes(video, kind="faces")
        async with self._bounds(timeout, cancel), self._gateway.session() as session:
            return await results.faces(session, await _measured(session, wishes, on_upload, on_progress))

    async def check(
        self,
        video: MediaSource,
        speech: MediaSource | None = None,
        *,
        on_upload: OnUpload | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> CheckResult:
        """Return what can be measured of a video: `Jobs.check`, awaited."""
        wishes = Wishes(video, speech, kind="check")
        async with self._bounds(timeout, cancel), self._gateway.session() as session:
            return await results.checked(session, await _measured(session, wishes, on_upload, on_progress))

    async def tiers(self) -> tuple[TierName, ...] | None:
        """Return the tiers that the service has: `Jobs.tiers`, awaited."""
        return tiers_of(await self._json("GET", "/v1/me"))

    async def usage(self) -> Usage:
        """Return what was used in this month, and what may be used."""
        return usage_of(await self._json("GET", "/v1/usage"))

    async def _json(self, method: str, path: str, **wanted: Any) -> Any:
        async with self._bounds(None, None), self._gateway.session() as session:
            return await session.json(method, path, **wanted)

    def _bounds(
        self, timeout: float | None, cancel: CancelToken | None, remedy: str = SHORTER
    ) -> AbstractAsyncContextManager[None]:
        return bounded(checked(timeout) if timeout is not None else self._timeout, cancel, remedy)


_PAGE = 100
_SHEET_SECONDS = 90.0  # it may have to be drawn first
_BATCH_SECONDS = 900.0  # for ten thousand jobs


async def _submitted(
    session: Session, wishes: Wishes, on_upload: OnUpload | None, key: str | None = None
) -> Job:
    """Send a job, once, whatever happens to the connection."""

    async def offered() -> tuple[TierName, ...] | None:
        return tiers_of(await session.json("GET", "/v1/me"))

    request = await wishes.request(Uploads(session, on_upload, known=key is not None), offered)
    headers = {"idempotency-key": key or uuid.uuid4().hex}
    return job_of(await session.json("POST", "/v1/jobs", json=request, headers=headers))


async def _measured(
    session: Session, wishes: Wishes, on_upload: OnUpload | None, on_progress: OnProgress | None
) -> Job:
    job = await _submitted(session, wishes, on_upload)
    return await _ended(session, job.id, on_progress)


async def _ended(session: Session, id: str, on_progress: OnProgress | None) -> Job:
    async with aclosing(events.changes(session, id)) as told:
        async for job in told:
            if on_progress is not None and job.frames:
                on_progress(job.frames_done, job.frames)
    return job


def _id(thing: Job | Batch | str) -> str:
    return manifest.checked_id(thing if isinstance(thing, str) else thing.id)


def _path(job: Job | str) -> str:
    return f"/v1/jobs/{_id(job)}"
