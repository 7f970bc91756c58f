"""The rows of a batch, made into jobs."""

from __future__ import annotations

import json
import uuid

from lipserve.errors import InternalError
from lipserve_jobs.queue.names import PLAN
from lipserve_jobs.records import Job, JobRequest
from lipserve_jobs.store import Keys
from lipserve_jobs.store.keys import batch_rows
from lipserve_jobs.worker.tools import Tools


async def expand(tools: Tools, tenant: str, batch: str) -> None:
    """Make a job of every row; rows that have theirs already are passed over."""
    text = await tools.store.read(batch_rows(tenant, batch))
    if text is None:
        raise InternalError(f"The rows of batch {batch} are gone from the store.", "Send the batch again.")
    for row, line in enumerate(text.splitlines(), 1):
        if row % 100 == 1:
            known = await tools.batches.get(tenant, batch)
            if known is None or known.state == "cancelled":
                return
        request = JobRequest.of(json.loads(line))
        job = Job.new(request, tenant, batch, row_id(batch, row))
        await tools.store.write(Keys.of(job).request, line)
        if await tools.journal.create(job):
            await tools.work.put(job, PLAN)


def row_id(batch: str, row: int) -> str:
    """Return the id of a row's job: always the same, and behind the batch's own in order."""
    digits = uuid.uuid5(uuid.UUID(batch), str(row)).hex
    return f"{batch[:12]}{row:05x}{digits[:15]}"
