"""`lipserve jobs get`: shows a job."""

from __future__ import annotations

import argparse

from lipserve_cli.jobs.service import add_gateway, add_json, described, open_jobs, told

_EXAMPLES = """\
examples:
  lipserve jobs get 0193a5c0c3b8f2d7a6b1c4e5f6071829
  lipserve jobs get 0193a5c0c3b8f2d7a6b1c4e5f6071829 --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Show a job: its state, how far it is, and why it failed."
    parser.epilog = _EXAMPLES
    parser.add_argument("job", metavar="ID", help="id of the job")
    add_json(parser)
    add_gateway(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    job = open_jobs(arguments).get(arguments.job)
    told(job.view, described(job), arguments.json)
    return 0
