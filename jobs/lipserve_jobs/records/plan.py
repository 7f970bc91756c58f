"""What was settled before the first piece of a job: every worker that makes one holds to it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from lipserve_jobs.records.request import BypassRequest, CueRequest


class Plan(BaseModel):
    """The plan of a job.

    Attributes:
        counts: frames of each piece.
        sources: whether each clip has a SOURCE; they lie beside the plan, by number.
        options, cues, bypass: those of the request, numbers of people and `speaking` replaced by pixels.
            The speech of a cue is the name of an input.
        prepare_seconds: that making the SOURCEs took.
        retries: how often requests for them were sent again.
    """

    model_config = ConfigDict(frozen=True)

    counts: tuple[int, ...]
    sources: tuple[bool, ...] = ()
    options: dict[str, Any]
    cues: tuple[PlannedCue, ...] | None = None
    bypass: tuple[BypassRequest, ...] = ()
    prepare_seconds: float = 0.0
    retries: int = 0

    @property
    def frames(self) -> int:
        return sum(self.counts)


class PlannedCue(CueRequest):
    """A cue whose speech is the name of an input."""

    speech: str | None = None


Plan.model_rebuild()
