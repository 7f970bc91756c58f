"""What a gateway answers, as dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from lipserve.contracts import TierName
from lipserve.errors import CancelledError, InternalError, LipServeError, of_code

T = TypeVar("T")

Kind = Literal["dub", "faces", "check", "estimate"]
Priority = Literal["high", "normal", "low"]
State = Literal["queued", "preparing", "making", "joining", "done", "failed", "cancelled"]
FINAL: frozenset[State] = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True)
class Fault:
    """Why a job failed: the code is one of `lipserve.errors`."""

    code: str
    message: str
    remedy: str

    @property
    def error(self) -> LipServeError:
        """The same as an exception."""
        return of_code(self.code, self.message, self.remedy)


@dataclass(frozen=True)
class Job:
    """A job, as it was when the gateway was asked.

    Attributes:
        id: 32 hexadecimal digits; ids of later jobs sort behind those of earlier ones.
        kind: `dub`, or what measures: `faces`, `check`, `estimate`.
        name, metadata: the caller's own.
        batch: the batch that it belongs to.
        state: queued, preparing, making, joining; in the end done, failed or cancelled.
        frames, frames_done: of the result; 0 until the job is planned.
        pieces, pieces_made: into which it is divided, and how many of these there are.
        seconds_left: about, until it is done; None where nothing is known of it.
        created, started, ended, expires: times, UTC; after the last the job is erased.
        seconds: of the result. size: of its file, bytes.
        work_seconds: that requests for it took. cost: of these, where the operator has set a price.
        error: why it failed.
        webhook: the address that is told of the end, without its query; told: no, pending, delivered, failed.
        view: the gateway's answer as it came, decoded JSON.
    """

    id: str
    kind: Kind
    tier: TierName
    state: State
    name: str
    metadata: Mapping[str, str]
    priority: Priority
    batch: str | None
    frames: int
    frames_done: int
    pieces: int
    pieces_made: int
    seconds_left: float | None
    created: datetime
    started: datetime | None
    ended: datetime | None
    expires: datetime | None
    seconds: float
    size: int | None
    work_seconds: float
    cost: float | None
    error: Fault | None
    webhook: str | None
    told: str
    view: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def final(self) -> bool:
        """Whether it has ended, however."""
        return self.state in FINAL

    def check(self) -> None:
        """Raise the error of a job that failed, or CancelledError where it was cancelled."""
        if self.state == "failed":
            raise (self.error or Fault("internal", "The job failed.", "Look at the workers' logs.")).error
        if self.state == "cancelled":
            raise CancelledError(f"The job {self.id} was cancelled.", "Send it again, or retry it.")


@dataclass(frozen=True)
class Batch:
    """Many jobs that were sent together.

    Attributes:
        id: what `jobs.list(batch=...)` takes.
        state: `open`, or `cancelled`.
        rows: jobs that were asked for. waiting: rows that no job has been made from yet.
        counts: jobs by state.
        view: the gateway's answer as it came, decoded JSON.
    """

    id: str
    name: str
    state: Literal["open", "cancelled"]
    rows: int
    waiting: int
    counts: Mapping[str, int]
    created: datetime
    view: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def ended(self) -> int:
        """How many of its jobs have ended, however."""
        return sum(self.counts.get(state, 0) for state in FINAL)

    @property
    def final(self) -> bool:
        """Whether all of them have."""
        return not self.waiting and self.ended == sum(self.counts.values())


@dataclass(frozen=True)
class Usage:
    """What you have used in a month (UTC), and what you may use.

    Attributes:
        month: such as 2026-11.
        jobs: that were done. seconds: of results. bytes: of results. work_seconds: that requests took.
        cost: of these, where the operator has set a price.
        bytes_kept, jobs_unfinished: now.
        quota: by name; None: no bound.
        view: the gateway's answer as it came, decoded JSON.
    """

    month: str
    jobs: int
    seconds: float
    bytes: int
    work_seconds: float
    cost: float | None
    bytes_kept: int
    jobs_unfinished: int
    quota: Mapping[str, float | None]
    view: Mapping[str, Any] = field(repr=False, compare=False)


def job_of(view: Mapping[str, Any]) -> Job:
    """Return the job of a gateway's answer."""
    return _read(_job, view)


def _job(view: Mapping[str, Any]) -> Job:
    progress, error, webhook = view["progress"], view.get("error"), view.get("webhook") or {}
    return Job(
        id=view["id"],
        kind=view["kind"],
        tier=view["tier"],
        state=view["state"],
        name=view.get("name") or "",
        metadata=dict(view.get("metadata") or {}),
        priority=view.get("priority", "normal"),
        batch=view.get("batch"),
        frames=progress["frames"],
        frames_done=progress["frames_done"],
        pieces=progress["pieces"],
        pieces_made=progress["pieces_made"],
        seconds_left=view.get("seconds_left"),
        created=datetime.fromisoformat(view["created"]),
        started=_time(view.get("started")),
        ended=_time(view.get("ended")),
        expires=_time(view.get("expires")),
        seconds=view.get("seconds") or 0.0,
        size=view.get("size"),
        work_seconds=view.get("work_seconds") or 0.0,
        cost=view.get("cost"),
        error=None if error is None else Fault(error["code"], error["message"], error.get("remedy") or ""),
        webhook=webhook.get("url"),
        told=webhook.get("told", "no"),
        view=view,
    )


def page_of(view: Mapping[str, Any]) -> tuple[Sequence[Job], str | None]:
    """Return the jobs of a page, and the cursor of the next one."""
    return _read(lambda view: ([_job(each) for each in view["jobs"]], view["next"]), view)


def batch_of(view: Mapping[str, Any]) -> Batch:
    """Return the batch of a gateway's answer."""
    return _read(_batch, view)


def _batch(view: Mapping[str, Any]) -> Batch:
    return Batch(
        id=view["id"],
        name=view["name"],
        state=view["state"],
        rows=view["rows"],
        waiting=view["waiting"],
        counts=dict(view["counts"]),
        created=datetime.fromisoformat(view["created"]),
        view=view,
    )


def tiers_of(view: Mapping[str, Any]) -> tuple[TierName, ...] | None:
    """Return the tiers of a gateway's answer about who calls; None: it does not know them."""
    return _read(lambda view: None if view["tiers"] is None else tuple(view["tiers"]), view)


def usage_of(view: Mapping[str, Any]) -> Usage:
    """Return the usage of a gateway's answer."""
    return _read(_usage, view)


def _usage(view: Mapping[str, Any]) -> Usage:
    return Usage(
        month=view["month"],
        jobs=view["jobs"],
        seconds=view["seconds"],
        bytes=view["bytes"],
        work_seconds=view["work_seconds"],
        cost=view["cost"],
        bytes_kept=view["bytes_kept"],
        jobs_unfinished=view["jobs_unfinished"],
        quota=dict(view["quota"]),
        view=view,
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _read(read: Callable[[Mapping[str, Any]], T], view: Any) -> T:
    try:
        return read(view)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InternalError(
            f"The gateway's answer cannot be read ({type(error).__name__}: {error}).",
            "Is this the address of a gateway, and of this version?",
        ) from error
