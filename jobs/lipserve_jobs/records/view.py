"""A job as callers see it: in answers, in events, and in what webhooks are told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from lipserve.contracts import TierName
from lipserve_jobs.records.job import Fault, Job, State, Told
from lipserve_jobs.records.request import Kind, Priority


class Progress(BaseModel):
    """How far a job is; all are 0 until it is planned."""

    model_config = ConfigDict(frozen=True)

    frames: int
    frames_done: int
    pieces: int
    pieces_made: int


class Webhook(BaseModel):
    """Whom a job tells of its end, without the query of the address, and whether it was told."""

    model_config = ConfigDict(frozen=True)

    url: str
    told: Told


class Links(BaseModel):
    """Where a job and what belongs to it are."""

    model_config = ConfigDict(frozen=True)

    self: str
    result: str
    report: str
    sheet: str
    events: str


class JobView(BaseModel):
    """A job.

    Attributes:
        seconds_left: about; null where nothing is known of it.
        created, started, ended, expires: RFC 3339, UTC.
        seconds: of the result. work_seconds: that requests took. cost: of these, where the tenant has a
            price.
        size: of the result, bytes.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Kind
    tier: TierName
    name: str
    metadata: dict[str, str]
    priority: Priority
    batch: str | None
    state: State
    progress: Progress
    seconds_left: float | None
    created: str
    started: str | None
    ended: str | None
    expires: str | None
    seconds: float
    size: int | None
    work_seconds: float
    cost: float | None = Field(description="in the currency of the operator's price")
    error: Fault | None
    webhook: Webhook | None
    links: Links

    @classmethod
    def of(cls, job: Job, price_per_hour: float | None) -> Self:
        """Return the view of a record."""
        here = f"/v1/jobs/{job.id}"
        return cls(
            **job.model_dump(include=_AS_THEY_ARE),
            progress=Progress(
                frames=job.frames,
                frames_done=job.frames_done,
                pieces=job.pieces,
                pieces_made=int(job.made, 16).bit_count(),
            ),
            seconds_left=job.seconds_left,
            created=stamp(job.created),
            started=_stamped(job.started),
            ended=_stamped(job.ended),
            expires=_stamped(job.expires),
            size=None if job.result is None else job.result.size,
            cost=cost(job.work_seconds, price_per_hour),
            error=job.error,
            webhook=None if job.webhook is None else Webhook(url=_bare(job.webhook), told=job.told),
            links=Links(
                self=here,
                result=f"{here}/result",
                report=f"{here}/report",
                sheet=f"{here}/sheet",
                events=f"{here}/events",
            ),
        )


_AS_THEY_ARE = {
    "id",
    "kind",
    "tier",
    "name",
    "metadata",
    "priority",
    "batch",
    "state",
    "seconds",
    "work_seconds",
}


def cost(work_seconds: float, price_per_hour: float | None) -> float | None:
    """Return what work costs, rounded to four digits behind the point; None: it has no price."""
    return None if price_per_hour is None else round(work_seconds * price_per_hour / 3600, 4)


def stamp(seconds: float) -> str:
    """Return a time, seconds since 1970, as RFC 3339 writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _stamped(seconds: float | None) -> str | None:
    return None if seconds is None else stamp(seconds)


def _bare(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return "not valid"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
