"""`lipserve jobs wait`: waits for a job, and fetches its result."""

from __future__ import annotations

import argparse

from lipserve_cli.jobs.fetching import FILES, check_output, fetched
from lipserve_cli.jobs.service import add_gateway, add_json, open_jobs

_EXAMPLES = """\
examples:
  lipserve jobs wait 0193a5c0c3b8f2d7a6b1c4e5f6071829 -o out.mp4
  lipserve jobs wait 0193a5c0c3b8f2d7a6b1c4e5f6071829 --json

Ctrl-C ends the waiting, not the job.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Wait until a job has ended. Its result is written to a file if one is named; what a job has "
        "measured is printed, too. The exit code is that of `lipserve dub` for the same error."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("job", metavar="ID", help="id of the job")
    parser.add_argument("-o", "--output", metavar="FILE", help=f"write the result to this file: {FILES}")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no summary")
    add_json(parser)
    add_gateway(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    jobs = open_jobs(arguments)
    job = jobs.get(arguments.job)
    check_output(arguments.output, job.kind)
    return fetched(jobs, job, arguments)
