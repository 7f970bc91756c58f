"""A request of a job as the wishes of one call of the client, and what was settled of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lipserve.cues import Cue
from lipserve.options import Options
from lipserve_client._making import Making
from lipserve_client._timeline import Direction
from lipserve_client._wanted import Wanted
from lipserve_jobs.records import CueRequest, Plan
from lipserve_jobs.records.plan import PlannedCue
from lipserve_jobs.records.request import BypassRequest
from lipserve_jobs.worker.workshop import Bench


def asked(bench: Bench) -> Wanted:
    """Return what the request asks for, with this machine's files."""
    request = bench.request
    cues = None
    if request.cues is not None:
        cues = [_cue(cue, bench.file(cue.speech)) for cue in request.cues]
    return _wanted(bench, request.checked_options(), cues, request.bypass)


def settled(bench: Bench, plan: Plan) -> Wanted:
    """Return the wishes as they were settled when the job was planned."""
    cues = None
    if plan.cues is not None:
        cues = [_cue(cue, None if cue.speech is None else bench.files[cue.speech]) for cue in plan.cues]
    return _wanted(bench, Options(**plan.options), cues, plan.bypass)


def plan_of(bench: Bench, wanted: Wanted, making: Making, retries: int) -> Plan:
    """Return what other workers have to know of wishes that are settled; `retries`: as Plan's."""
    names = {str(path): name for name, path in bench.files.items()}
    direction = wanted.direction
    cues = None
    if isinstance(direction.cues, list):
        cues = tuple(_planned(cue, names) for cue in direction.cues)
    return Plan(
        counts=tuple(making.counts),
        sources=tuple(clip.source is not None for clip in making.clips),
        options=wanted.options.model_dump(mode="json", exclude_unset=True),
        cues=cues,
        bypass=tuple(BypassRequest.model_validate(stretch) for stretch in direction.bypass),
        prepare_seconds=making.prepare_seconds,
        retries=retries,
    )


def _planned(cue: Any, names: dict[str, str]) -> PlannedCue:
    speech = None if cue.speech is None else names[str(cue.speech)]
    return PlannedCue(start=cue.start, end=cue.end, face=cue.face, speech=speech, offset=cue.offset)


def _cue(cue: CueRequest, speech: Path | None) -> Cue:
    fields = cue.model_dump(exclude_unset=True, exclude={"speech"})
    return Cue(**fields, **({} if speech is None else {"speech": speech}))


def _wanted(
    bench: Bench, options: Options, cues: list[Cue] | None, bypass: tuple[BypassRequest, ...]
) -> Wanted:
    request = bench.request
    background = "video" if request.background == "video" else bench.file(request.background)
    direction = Direction(
        cues,
        tuple(stretch.model_dump() for stretch in bypass),
        background,
        request.background_lufs,
        request.loudness,
    )
    source = bench.file(request.source)
    return Wanted(bench.files["video"], bench.file(request.speech), options, request.tier, source, direction)
