"""The rows of a batch, made into jobs."""

from __future__ import annotations

import json

from lipserve.errors import InternalError
from lipserve_jobs.queue.names import PLAN
from lipserve_jobs.records import Job, JobRequest
from lipserve_jobs.records.batch import row_id
from lipserve_jobs.store import Keys
from lipserve_jobs.store.keys import batch_rows
from lipserve_jobs.worker.tools import Tools


async def expand(tools: Tools, tenant: str, batch: str) -> None:
    """Make a job of every row; rows that have theirs already are passed over.

    Whoever erases jobs writes that into the record of the batch before the jobs go. So the record is read
    after a job was made, and the job is taken back where it must not be.
    """
    known = await tools.batches.get(tenant, batch)
    if known is None or not known.waits:
        return
    text = await tools.store.read(batch_rows(tenant, batch))
    if text is None:
        raise InternalError(f"The rows of batch {batch} are gone from the store.", "Send the batch again.")
    for row, line in enumerate(text.splitlines(), 1):
        job = Job.new(JobRequest.of(json.loads(line)), tenant, batch, row_id(batch, row))
        await tools.store.write(Keys.of(job).request, line)
        new = await tools.journal.create(job)
        known = await tools.batches.get(tenant, batch)
        if known is None or known.has_erased(row) or (new and known.state == "cancelled"):
            await tools.store.remove_all(Keys.of(job).prefix)
            await tools.journal.erase(tenant, job.id)
        elif new:
            await tools.work.put(job, PLAN)
        if known is None or known.state == "cancelled":
            return
    await tools.batches.expanded(tenant, batch)
    await tools.store.remove(batch_rows(tenant, batch))  # every job has its request
