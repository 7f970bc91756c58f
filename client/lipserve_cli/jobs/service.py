"""What the commands share that call a service for jobs: its address, jobs as text, and waiting."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lipserve.errors import OptionsError, SetupError
from lipserve.text import counted, printable
from lipserve_client._config import TLS
from lipserve_client._fleet import RETRIES
from lipserve_client._jobs import Job, Jobs
from lipserve_client._jobs.http import DEFAULT_GATEWAY, KEY_VARIABLE, URL_VARIABLE


def add_gateway(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the service's address."""
    group = parser.add_argument_group("service")
    group.add_argument(
        "--url",
        metavar="URL",
        help=f"address of the gateway (default: {URL_VARIABLE}, else {DEFAULT_GATEWAY})",
    )
    group.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help=f"file with the API key or token (default: the environment variable {KEY_VARIABLE})",
    )
    group.add_argument(
        "--retries",
        type=int,
        default=RETRIES,
        metavar="N",
        help="most times that a failed call is made again, if another try can help (default %(default)s)",
    )
    group.add_argument("--tls-ca", metavar="PEM", help="trust only the certificate authorities of this file")
    group.add_argument("--tls-cert", metavar="PEM", help="client certificate, for mutual TLS")
    group.add_argument("--tls-key", metavar="PEM", help="private key of the client certificate")
    group.add_argument(
        "--tls-name", metavar="HOST", help="host name in the gateway's certificate (default: that of --url)"
    )


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add --json, which prints what the service answers."""
    parser.add_argument("--json", action="store_true", help="print the service's answer as JSON")


def add_named(parser: argparse.ArgumentParser, batch: str) -> None:
    """Add the jobs that a command is for: by their ids, or as a batch, which `batch` explains."""
    parser.add_argument("jobs", metavar="ID", nargs="*", help="ids of jobs")
    parser.add_argument("--batch", metavar="ID", help=batch)


def check_named(arguments: argparse.Namespace) -> None:
    """Raise OptionsError where no job is named."""
    if not arguments.jobs and arguments.batch is None:
        raise OptionsError("No job is named.", "Give the ids of jobs, or --batch.")


def open_jobs(arguments: argparse.Namespace) -> Jobs:
    """Return the calls of the service that the arguments name."""
    tls = (arguments.tls_ca, arguments.tls_cert, arguments.tls_key, arguments.tls_name)
    return Jobs(
        arguments.url,
        key=_key(arguments.key_file),
        retries=arguments.retries,
        tls=TLS(*tls) if any(tls) else None,
    )


def _key(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SetupError(f"The key cannot be read from {path}.", "Give a file with the key alone.") from error


def told(value: Any, rows: Iterable[str], as_json: bool) -> None:
    """Print an answer, as rows or as JSON."""
    print(json.dumps(value, indent=2) if as_json else "\n".join(rows))


def described(job: Job) -> list[str]:
    """Return a job as lines of text."""
    rows = [f"{job.id}  {state_of(job)}", f"  {'name':<10}{printable(job.name) or '-'}"]
    rows += [f"  {'kind':<10}{job.kind}, tier {job.tier}, priority {job.priority}"]
    rows += [f"  {printable(name):<10}{printable(value)}" for name, value in job.metadata.items()]
    for name, time in (("created", job.created), ("ended", job.ended), ("expires", job.expires)):
        if time is not None:
            rows.append(f"  {name:<10}{time.astimezone():%Y-%m-%d %H:%M:%S %Z}")
    if job.state == "done" and job.kind == "dub":
        rows.append(f"  {'result':<10}{job.seconds:.2f} s, {(job.size or 0) / 1e6:.1f} MB")
    if job.work_seconds:
        price = "" if job.cost is None else f", {job.cost:g} for it"
        rows.append(f"  {'work':<10}{job.work_seconds:.1f} s of the servers{price}")
    if job.webhook is not None:
        rows.append(f"  {'webhook':<10}{printable(job.webhook)}: {job.told}")
    if job.error is not None:
        rows.append(f"  {'error':<10}{printable(job.error.message)} {printable(job.error.remedy)}".rstrip())
    return rows


def state_of(job: Job) -> str:
    """Return the state of a job, and how far it is, in a few words."""
    if job.state not in ("making", "joining") or not job.frames:
        return job.state
    left = "" if job.seconds_left is None else f", {job.seconds_left:.0f} s left"
    return f"{job.state}, {job.frames_done} of {counted(job.frames, 'frame')}{left}"


def await_end(jobs: Jobs, job: Job, quiet: bool, go_on: list[str]) -> Job:
    """Wait for the end of a job, with a bar; its errors are raised.

    Args:
        go_on: words of the command that goes on with waiting, which Ctrl-C names.
    """
    with going_on("The job goes on.", go_on), _bar(quiet) as show:
        for now in jobs.events(job):
            show(now)
    now.check()
    return now


@contextmanager
def going_on(what: str, words: list[str]) -> Iterator[None]:
    """Say on Ctrl-C that something goes on, and by which command somebody can wait for it again."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"{what} Wait again: {shlex.join(words)}", file=sys.stderr)
        raise


@contextmanager
def _bar(quiet: bool) -> Iterator[Any]:
    """Yield what shows a job's progress; it shows nothing if `quiet` or stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda job: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames, time left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("queued", total=None)

        def show(job: Job) -> None:
            total = job.frames or None
            progress.update(task, description=job.state, completed=job.frames_done, total=total)

        yield show
