"""Results of jobs, as files and as words."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lipserve.quality.cast import FacesResult
from lipserve.quality.results import CheckResult
from lipserve_cli.commands import check, faces
from lipserve_cli.commands.dub import summarise
from lipserve_cli.jobs.service import await_end, state_of, told
from lipserve_client._jobs import Job, Jobs
from lipserve_client._jobs.records import Kind
from lipserve_client._jobs.results import Measured
from lipserve_client._output import write_whole
from lipserve_client._targets import FILM, NO_MEDIA, check_target

FILES = "MP4; of a job that measures JSON, or of `faces` a picture, .png"
_ENDINGS = {"dub": FILM, "faces": faces.PICTURES}


def check_output(output: str | None, kind: Kind, *inputs: str | None) -> None:
    """Raise InputError where the result of a job cannot be written to a file."""
    if output is not None:
        check_target(Path(output), tuple(filter(None, inputs)), _ENDINGS.get(kind, NO_MEDIA))


def fetched(jobs: Jobs, job: Job, arguments: argparse.Namespace) -> int:
    """Wait for the end of a job, and fetch its result; return the exit code.

    Args:
        arguments: `output`, a file or None; `quiet`; `json`.
    """
    output = arguments.output
    go_on = ["lipserve", "jobs", "wait", job.id, *(["-o", output] if output else [])]
    job = await_end(jobs, job, arguments.quiet, go_on)
    result = None
    if job.kind != "dub":
        result = jobs.measured(job)
        if output is not None:
            save(result, output)
    elif output is not None:
        film = jobs.wait(job, output=output)
        if not (arguments.quiet or arguments.json):
            summarise(output, film, False)
            return 0
    if arguments.json:
        told(view(job, result), [], True)
    elif not arguments.quiet:
        told(None, [f"{job.id}: {state_of(job)}"] if result is None else words(job, result), False)
    return 0


def save(result: Measured, output: str | Path) -> None:
    """Write what a job has measured to a file; who is in a video, as a picture where the name says so."""
    if isinstance(result, FacesResult) and Path(output).suffix.lower() in faces.PICTURES:
        if result.people:
            write_whole(Path(output), result.sheet, faces.PICTURES)
    else:
        write_whole(Path(output), json.dumps(result.to_json(), indent=2) + "\n")


def view(job: Job, result: Measured | None) -> dict[str, object]:
    """Return a job as JSON, with what it has measured as `result`."""
    return {**job.view, **({} if result is None else {"result": result.to_json()})}


def words(job: Job, result: Measured) -> list[str]:
    """Return what a job has measured as lines, as the command of its kind prints them."""
    name = job.name or job.id
    match result:
        case FacesResult():
            return faces.lines(name, result)
        case CheckResult():
            return check.lines(name, result)
    return result.rows()
