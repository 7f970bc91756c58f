"""The record of a batch: many jobs that were sent as one list."""

from __future__ import annotations

import time
from typing import Literal

from pydantic import BaseModel, ConfigDict

from lipserve_jobs.records.job import new_id
from lipserve_jobs.records.request import Label, Priority


class Batch(BaseModel):
    """A batch.

    Attributes:
        rows: jobs that it is to have; they are made from the rows in the store, one after another.
        state: `open`, or `cancelled`: rows that have no job yet get none.
        created: seconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    tenant: str
    name: Label = ""
    priority: Priority = "normal"
    rows: int
    state: Literal["open", "cancelled"] = "open"
    created: float

    @classmethod
    def new(cls, tenant: str, rows: int, name: str = "", priority: Priority = "normal") -> Batch:
        return cls(id=new_id(), tenant=tenant, name=name, priority=priority, rows=rows, created=time.time())
