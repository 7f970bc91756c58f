"""`lipserve jobs list`: lists jobs, the newest first."""

from __future__ import annotations

import argparse
from typing import get_args

from lipserve.text import printable
from lipserve_cli.jobs.service import add_gateway, add_json, open_jobs, state_of, told
from lipserve_client._jobs import Job
from lipserve_client._jobs.records import Kind, State

_EXAMPLES = """\
examples:
  lipserve jobs list
  lipserve jobs list --state failed --limit 100
  lipserve jobs list --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "List your jobs, the newest first: id, time, name, state."
    parser.epilog = _EXAMPLES
    parser.add_argument("--state", choices=get_args(State), help="only those in this state")
    parser.add_argument("--kind", choices=get_args(Kind), help="only those of this kind")
    parser.add_argument("--batch", metavar="ID", help="only those of this batch")
    parser.add_argument(
        "--limit", type=int, default=20, metavar="N", help="at most so many (default %(default)s)"
    )
    add_json(parser)
    add_gateway(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    found = list(
        open_jobs(arguments).list(
            state=arguments.state, kind=arguments.kind, batch=arguments.batch, limit=arguments.limit
        )
    )
    rows = [_row(job) for job in found]
    told([dict(job.view) for job in found], rows or ["no jobs"], arguments.json)
    return 0


def _row(job: Job) -> str:
    name = printable(job.name) or "-"
    if job.kind != "dub":
        name += f" ({job.kind})"
    return f"{job.id}  {job.created.astimezone():%Y-%m-%d %H:%M}  {name:<24}  {state_of(job)}"
