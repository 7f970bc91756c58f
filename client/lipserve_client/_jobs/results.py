"""Results of jobs, as the classes that the calls of `Client` return."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from lipserve.errors import InternalError, LipServeError, OptionsError
from lipserve.quality.cast import CastMember, FacesResult, SpeakerTurn
from lipserve.quality.results import CheckResult
from lipserve.report import Report
from lipserve_client._cancel import in_thread
from lipserve_client._estimate import Estimate
from lipserve_client._jobs.http import Pauses, Session
from lipserve_client._jobs.records import Job, Kind
from lipserve_client._output import Output
from lipserve_client._results import DubResult
from lipserve_client._targets import Target

T = TypeVar("T")
Measured = FacesResult | CheckResult | Estimate
"""What a job of another kind than `dub` gives."""

_CHUNK = 1 << 20


async def dubbed(session: Session, job: Job, output: Target | None) -> DubResult:
    """Fetch the film and the report of a job that is done."""
    _expect(job, "dub")
    facts = await session.json("GET", f"/v1/jobs/{job.id}/report")
    with Output(output) as target:
        async with aclosing(_film(session, f"/v1/jobs/{job.id}/result")) as film:
            async for chunk in film:
                await in_thread(target.write, chunk)
        made = await in_thread(target.commit)
    try:
        return DubResult(
            path=made if isinstance(made, Path) else None,
            report=Report.model_validate(facts["report"]),
            seconds=facts["seconds"],
            request_seconds=tuple(facts["request_seconds"]),
            retries=facts["retries"],
            prepare_seconds=facts["prepare_seconds"],
            _content=made if isinstance(made, bytes) else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _unread(error) from error


async def faces(session: Session, job: Job) -> FacesResult:
    """Fetch who is in a video."""
    fields = await _measured(session, job, "faces")
    sheet = b""
    if fields.get("people"):
        sheet = (await session.call("GET", f"/v1/jobs/{job.id}/sheet")).content
    return FacesResult(
        check=_as(CheckResult, fields.get("check")),
        people=_as(tuple[CastMember, ...], fields.get("people")),
        turns=_as(tuple[SpeakerTurn, ...], fields.get("turns")),
        sheet=sheet,
    )


async def checked(session: Session, job: Job) -> CheckResult:
    """Fetch the measurements of a video."""
    return _as(CheckResult, await _measured(session, job, "check"))


async def estimated(session: Session, job: Job) -> Estimate:
    """Fetch an estimate."""
    return _as(Estimate, await _measured(session, job, "estimate"))


async def measured(session: Session, job: Job) -> Measured:
    """Fetch what a job has measured, whatever its kind."""
    match job.kind:
        case "faces":
            return await faces(session, job)
        case "check":
            return await checked(session, job)
        case "estimate":
            return await estimated(session, job)
    raise OptionsError(f"The job {job.id} makes a film: it measures nothing.", "Fetch it with `wait`.")


async def _measured(session: Session, job: Job, kind: Kind) -> Any:
    _expect(job, kind)
    return await session.json("GET", f"/v1/jobs/{job.id}/result")


def _expect(job: Job, kind: Kind) -> None:
    job.check()
    if job.kind != kind:
        raise OptionsError(
            f"The job {job.id} is of the kind {job.kind}, not {kind}.",
            "Fetch what it has measured with `measured`, or `lipserve jobs get ID`.",
        )
    if not job.final:
        raise OptionsError(f"The job {job.id} is not done: it is {job.state}.", "Wait for it.")


async def _film(session: Session, path: str) -> AsyncGenerator[bytes]:
    """Yield a result; after a broken connection the rest of it is asked for."""
    had, size, tag = 0, -1, ""
    pauses = Pauses(session.gateway.retries)
    while had != size:
        headers = {"accept-encoding": "identity"}
        if had:
            headers |= {"range": f"bytes={had}-", "if-range": tag}
        try:
            async with session.opened("GET", path, headers=headers) as response:
                if had and response.status_code != httpx.codes.PARTIAL_CONTENT:
                    raise InternalError("The result changed while it was fetched.", "Fetch it again.")
                tag, size = response.headers["etag"], had + int(response.headers["content-length"])
                async for chunk in response.aiter_bytes(_CHUNK):
                    had += len(chunk)
                    pauses = Pauses(session.gateway.retries)
                    yield chunk
        except LipServeError as error:
            pause = pauses.after(error, known=True)
            if pause is None:
                raise
            await asyncio.sleep(pause)
        except (KeyError, ValueError) as error:
            raise _unread(error) from error


def _as(kind: type[T], fields: Any) -> T:
    try:
        return TypeAdapter(kind).validate_python(fields)
    except ValidationError as error:
        raise _unread(error) from error


def _unread(error: Exception) -> InternalError:
    return InternalError(
        f"The result of the job cannot be read ({type(error).__name__}).", "Is the gateway of this version?"
    )
