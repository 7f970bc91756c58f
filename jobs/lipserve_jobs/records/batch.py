"""The record of a batch: many jobs that were sent as one list."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lipserve_jobs.records.job import new_id
from lipserve_jobs.records.request import Label, Priority

_ROW = slice(12, 17)  # where the id of a row's job has the row


class Batch(BaseModel):
    """A batch.

    Attributes:
        rows: jobs that it is to have; they are made from the rows in the store, one after another.
        state: `open`, or `cancelled`: rows that have no job yet get none.
        expanded: whether every row has become a job.
        erased: rows whose jobs were erased, bit i (from the lowest) for row i, in hexadecimal. They get no
            job again, however often the rows are gone through.
        created: seconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    tenant: str
    name: Label = ""
    priority: Priority = "normal"
    rows: int
    state: Literal["open", "cancelled"] = "open"
    expanded: bool = False
    erased: Annotated[str, Field(pattern=r"^[0-9a-f]+$")] = "0"
    created: float

    @classmethod
    def new(cls, tenant: str, rows: int, name: str = "", priority: Priority = "normal") -> Batch:
        return cls(id=new_id(), tenant=tenant, name=name, priority=priority, rows=rows, created=time.time())

    @property
    def waits(self) -> bool:
        """Whether rows of it are still to become jobs."""
        return self.state == "open" and not self.expanded

    @property
    def gone(self) -> int:
        """How many of its jobs were erased."""
        return int(self.erased, 16).bit_count()

    def has_erased(self, row: int) -> bool:
        """Tell whether the job of a row, counted from 1, was erased."""
        return bool(int(self.erased, 16) >> row & 1)

    def without(self, jobs: Iterable[str]) -> Batch:
        """Return the record with jobs of these ids erased."""
        erased = int(self.erased, 16)
        for job in jobs:
            erased |= 1 << int(job[_ROW], 16)
        return self.model_copy(update={"erased": f"{erased:x}"})


def row_id(batch: str, row: int) -> str:
    """Return the id of a row's job: always the same, and behind the batch's own in order."""
    digits = uuid.uuid5(uuid.UUID(batch), str(row)).hex
    return f"{batch[:12]}{row:05x}{digits[:15]}"
