"""The end of all traces of a job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records import Job
from lipserve_jobs.store import Keys, Store
from lipserve_jobs.store.keys import file_prefix


@dataclass(frozen=True)
class Eraser:
    """Removes jobs: files that only they used, objects, letters, records."""

    store: Store
    journal: Journal
    work: Work
    ends: Ends

    async def erase(self, job: Job, others: Iterable[Job]) -> None:
        """Remove a job and all traces of it.

        Args:
            others: all jobs of its tenant; files that they use, too, stay.
        """
        await self.work.drop(job.id)
        await self.ends.forget(job.tenant, job.id)
        used = {file for other in others if other.id != job.id for file in other.files}
        for file in set(job.files) - used:
            await self.store.remove_all(file_prefix(job.tenant, file))
        await self.store.remove_all(Keys.of(job).prefix)
        await self.journal.erase(job.tenant, job.id)
