"""The end of all traces of jobs."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from lipserve_jobs.queue.batches import Batches
from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records import Job
from lipserve_jobs.store import Keys, Store
from lipserve_jobs.store.keys import batch_rows, file_prefix

T = TypeVar("T")
_AT_ONCE = 16
_FILE = re.compile(rb'"file:([0-9a-f]{32})"')


class User(Protocol):
    """A job that uses files, by their ids."""

    @property
    def id(self) -> str: ...

    @property
    def files(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Eraser:
    """Removes jobs: files that only they used, objects, letters, records."""

    store: Store
    journal: Journal
    work: Work
    ends: Ends
    batches: Batches

    async def erase(
        self, tenant: str, jobs: Sequence[Job], others: Iterable[User], files: Iterable[str] = ()
    ) -> None:
        """Remove jobs and all traces of them.

        Args:
            others: all jobs of the tenant; files that they use, too, stay.
            files: ids of more files that go, unless somebody uses them.

        Raises:
            LipServeError: something could not be removed; the records of such jobs stay, the others are gone.
        """
        await self._mark(jobs)  # before the records go: rows may become jobs meanwhile
        errors = await _each(self._empty, jobs)
        empty = [job for job, error in zip(jobs, errors, strict=True) if error is None]
        unused = {*files, *(file for job in jobs for file in job.files)}
        if unused:
            gone = {job.id for job in jobs}
            unused -= {file for other in others if other.id not in gone for file in other.files}
            unused -= await awaited(self.batches, self.store, tenant)
        errors += await _each(self.store.remove_all, [file_prefix(tenant, file) for file in unused])
        errors += await _each(lambda job: self.journal.erase(job.tenant, job.id), empty)
        for error in filter(None, errors):
            raise error

    async def _mark(self, jobs: Iterable[Job]) -> None:
        batches: dict[tuple[str, str], list[str]] = defaultdict(list)
        for job in jobs:
            if job.batch is not None:
                batches[job.tenant, job.batch].append(job.id)
        for (tenant, batch), ids in batches.items():
            await self.batches.erased(tenant, batch, ids)

    async def _empty(self, job: Job) -> None:
        await self.work.drop(job.id)
        await self.ends.forget(job.tenant, job.id)
        await self.store.remove_all(Keys.of(job).prefix)


async def awaited(batches: Batches, store: Store, tenant: str) -> set[str]:
    """Return the ids of a tenant's files that rows name which have no job yet."""
    found: set[str] = set()
    for batch in await batches.all():
        if batch.tenant == tenant and batch.waits:
            rows = await store.read(batch_rows(tenant, batch.id)) or b""
            for row, line in enumerate(rows.splitlines(), 1):
                if not batch.has_erased(row):
                    found |= files_of(line)
    return found


def files_of(rows: bytes) -> set[str]:
    """Return the ids of the files that rows of a batch name."""
    return {id.decode() for id in _FILE.findall(rows)}


async def _each(call: Callable[[T], Awaitable[None]], things: Iterable[T]) -> list[BaseException | None]:
    """Call for each thing, some at once, and return the error of each; None: there is none."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(thing: T) -> None:
        async with places:
            await call(thing)

    return await asyncio.gather(*map(one, things), return_exceptions=True)
