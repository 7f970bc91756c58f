"""Names of streams, buckets and subjects."""

from __future__ import annotations

from dataclasses import dataclass

from lipserve_jobs.records import Priority

WORK = "LIPSERVE_WORK"
DEAD = "LIPSERVE_DEAD"
HOOKS = "LIPSERVE_HOOKS"
JOBS = "lipserve_jobs"
BATCHES = "lipserve_batches"
KEYS = "lipserve_keys"
USAGE = "lipserve_usage"
RETURNS = "lipserve_returns"
LOCKS = "lipserve_locks"
TIERS = "lipserve_tiers"

WAKE = "lipserve.wake"
"""Core subject: there is new work. A hint; who misses it looks every second."""
CANCEL = "lipserve.cancel"
"""Core subject: the job whose id is the message has ended otherwise; give up what is done for it."""

LEVELS: dict[Priority, str] = {"high": "1", "normal": "2", "low": "3"}


@dataclass(frozen=True)
class Step:
    """A step of a job: `plan`, `piece` with its number, `join`, `sheet`, `expand` of a batch."""

    name: str
    place: int = 0

    def __str__(self) -> str:
        return f"{self.name}-{self.place}" if self.name == "piece" else self.name

    @classmethod
    def of(cls, text: str) -> Step:
        name, _, place = text.partition("-")
        return cls(name, int(place or 0))


PLAN, JOIN, SHEET, EXPAND = Step("plan"), Step("join"), Step("sheet"), Step("expand")


def work_subject(tenant: str, priority: Priority, job: str, step: Step) -> str:
    return f"lipserve.work.{tenant}.{LEVELS[priority]}.{job}.{step}"


def work_filter(tenant: str, level: str) -> str:
    return f"lipserve.work.{tenant}.{level}.>"


def job_filter(job: str) -> str:
    return f"lipserve.work.*.*.{job}.>"


def consumer(tenant: str, level: str) -> str:
    return f"{tenant}_{level}"


def dead_subject(tenant: str, job: str, step: Step) -> str:
    return f"lipserve.dead.{tenant}.{job}.{step}"


def hook_subject(tenant: str, job: str) -> str:
    return f"lipserve.hooks.{tenant}.{job}"
