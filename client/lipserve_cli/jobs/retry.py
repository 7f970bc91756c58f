"""`lipserve jobs retry`: begins jobs anew."""

from __future__ import annotations

import argparse

from lipserve_cli.jobs.service import add_gateway, add_named, check_named, open_jobs, state_of

_EXAMPLES = """\
examples:
  lipserve jobs retry 0193a5c0c3b8f2d7a6b1c4e5f6071829
  lipserve jobs retry --batch 0193a5c0c3b8f2d7a6b1c4e5f6071829
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Begin jobs anew that failed or were cancelled. What of them is made already is not made again."
    )
    parser.epilog = _EXAMPLES
    add_named(parser, "every job of this batch that failed or was cancelled")
    add_gateway(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    check_named(arguments)
    jobs = open_jobs(arguments)
    ids = list(arguments.jobs)
    for state in ("failed", "cancelled") if arguments.batch is not None else ():
        ids += [job.id for job in jobs.list(batch=arguments.batch, state=state)]
    for id in ids:
        print(f"{id}: {state_of(jobs.retry(id))}")
    return 0
