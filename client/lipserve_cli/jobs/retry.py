"""`lipserve jobs retry`: begins jobs anew."""

from __future__ import annotations

import argparse

from lipserve_cli.jobs.service import add_gateway, open_jobs, state_of

_EXAMPLES = """\
examples:
  lipserve jobs retry 0193a5c0c3b8f2d7a6b1c4e5f6071829
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Begin jobs anew that failed or were cancelled. What of them is made already is not made again."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("jobs", metavar="ID", nargs="+", help="ids of jobs")
    add_gateway(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    jobs = open_jobs(arguments)
    for id in arguments.jobs:
        print(f"{id}: {state_of(jobs.retry(id))}")
    return 0
