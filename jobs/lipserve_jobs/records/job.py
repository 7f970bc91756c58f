"""The record of a job: small, and always whole; every change of it is a compare-and-set."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from lipserve.contracts import TierName
from lipserve.errors import LipServeError
from lipserve_jobs.records.request import JobRequest, Kind, Label, Priority

State = Literal["queued", "preparing", "making", "joining", "done", "failed", "cancelled"]
Told = Literal["no", "pending", "delivered", "failed"]
FINAL: frozenset[State] = frozenset({"done", "failed", "cancelled"})


class Fault(BaseModel):
    """An error: the code and the remedy are those of `lipserve.errors`."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    remedy: str = ""

    @classmethod
    def of(cls, error: LipServeError) -> Self:
        return cls(code=error.code, message=error.message, remedy=error.remedy)


class Result(BaseModel):
    """What was made: the object's key, its size, its SHA-256, its length."""

    model_config = ConfigDict(frozen=True)

    key: str
    size: int
    sha256: str
    media_type: str = "video/mp4"


class Job(BaseModel):
    """The state of one job.

    Attributes:
        id: 32 hexadecimal digits; ids of later jobs sort behind those of earlier ones.
        round: how often it was begun: 1, and one more for each retry that was asked for.
        created, started, planned, ended, expires, touched: seconds since 1970; planned: pieces were known;
            touched: by the last change.
        frames, frames_done: of the result; 0 until the job is planned.
        pieces: into which it is divided. made: which of these are made, bit i (from the lowest) for piece i,
            in hexadecimal.
        work_seconds: that requests for it took.
        input_bytes: of its files. files: ids of those that were sent.
        told: whether the webhook has been told of the end.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    tenant: str
    kind: Kind = "dub"
    tier: TierName
    name: Label = ""
    metadata: dict[str, str] = {}
    priority: Priority = "normal"
    batch: str | None = None
    state: State = "queued"
    round: int = 1
    created: float
    started: float | None = None
    planned: float | None = None
    ended: float | None = None
    expires: float | None = None
    touched: float = 0.0
    frames: int = 0
    frames_done: int = 0
    pieces: int = 0
    made: Annotated[str, Field(pattern=r"^[0-9a-f]+$")] = "0"
    seconds: float = Field(default=0.0, description="of the result")
    work_seconds: float = 0.0
    input_bytes: int = 0
    files: tuple[str, ...] = ()
    result: Result | None = None
    error: Fault | None = None
    webhook: str | None = None
    told: Told = "no"

    @classmethod
    def new(cls, request: JobRequest, tenant: str, batch: str | None = None, id: str | None = None) -> Self:
        now = time.time()
        return cls(
            id=id or new_id(),
            tenant=tenant,
            kind=request.kind,
            tier=request.tier,
            name=request.name,
            metadata=request.metadata,
            priority=request.priority,
            batch=batch,
            created=now,
            touched=now,
            files=request.files,
            webhook=request.webhook,
            told="pending" if request.webhook else "no",
        )

    @property
    def final(self) -> bool:
        return self.state in FINAL

    @property
    def missing(self) -> list[int]:
        """The pieces that are not made yet, in order."""
        made = int(self.made, 16)
        return [place for place in range(self.pieces) if not made >> place & 1]

    def with_piece(self, place: int, frames: int, work_seconds: float) -> Job:
        """Return the record with one more piece made; the same where it is made already."""
        made = int(self.made, 16)
        if made >> place & 1:
            return self
        return self.changed(
            made=f"{made | 1 << place:x}",
            frames_done=self.frames_done + frames,
            work_seconds=round(self.work_seconds + work_seconds, 3),
        )

    def changed(self, **fields: object) -> Job:
        """Return the record with other fields, touched now."""
        return self.model_copy(update={**fields, "touched": time.time()})

    def ended_as(self, state: State, keep_seconds: float, **fields: object) -> Job:
        """Return the record of a job that has ended, and is kept for so long."""
        now = time.time()
        return self.changed(state=state, ended=now, expires=now + keep_seconds, **fields)

    @property
    def seconds_left(self) -> float | None:
        """About how long the rest takes, from the pace so far; None where nothing is known of it."""
        if self.final or self.planned is None or not self.frames_done or not self.frames:
            return None
        pace = (self.touched - self.planned) / self.frames_done
        return round(pace * (self.frames - self.frames_done), 1)


def new_id() -> str:
    """Return an id whose first twelve digits are the milliseconds since 1970 (as UUID version 7 has it)."""
    return f"{time.time_ns() // 1_000_000:012x}{uuid.uuid4().hex[:20]}"
