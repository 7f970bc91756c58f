"""`lipserve jobs get`: shows a job, and what it has measured."""

from __future__ import annotations

import argparse

from lipserve.errors import OptionsError
from lipserve_cli.jobs.fetching import FILES, check_output, fetched, view, words
from lipserve_cli.jobs.service import add_gateway, add_json, described, open_jobs, told

_EXAMPLES = """\
examples:
  lipserve jobs get 0193a5c0c3b8f2d7a6b1c4e5f6071829
  lipserve jobs get 0193a5c0c3b8f2d7a6b1c4e5f6071829 --json
  lipserve jobs get 0193a5c0c3b8f2d7a6b1c4e5f6071829 -o out.mp4
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show a job: its state, how far it is, and why it failed; once it is done, what it has measured."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("job", metavar="ID", help="id of the job")
    parser.add_argument("-o", "--output", metavar="FILE", help=f"write the result to this file: {FILES}")
    add_json(parser)
    add_gateway(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    jobs = open_jobs(arguments)
    job = jobs.get(arguments.job)
    if arguments.output is not None:
        check_output(arguments.output, job.kind)
        if not job.final:
            raise OptionsError(f"The job is {job.state}.", f"Wait for it: lipserve jobs wait {job.id}")
        arguments.quiet = False
        return fetched(jobs, job, arguments)
    result = jobs.measured(job) if job.state == "done" and job.kind != "dub" else None
    rows = described(job) + ([] if result is None else words(job, result))
    told(view(job, result), rows, arguments.json)
    return 0
