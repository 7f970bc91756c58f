"""`lipserve jobs cancel`: ends jobs at once."""

from __future__ import annotations

import argparse

from lipserve.text import counted
from lipserve_cli.jobs.service import add_gateway, add_named, check_named, open_jobs, state_of

_EXAMPLES = """\
examples:
  lipserve jobs cancel 0193a5c0c3b8f2d7a6b1c4e5f6071829
  lipserve jobs cancel --batch 0193a5c0c3b8f2d7a6b1c4e5f6071829
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "End jobs at once, wherever they are. What was made of them is kept for a retry; a job that has "
        "ended stays as it is."
    )
    parser.epilog = _EXAMPLES
    add_named(parser, "every job of this batch")
    add_gateway(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    check_named(arguments)
    jobs = open_jobs(arguments)
    for id in arguments.jobs:
        print(f"{id}: {state_of(jobs.cancel(id))}")
    if arguments.batch is not None:
        batch = jobs.cancel_batch(arguments.batch)
        print(f"{batch.id}: {counted(batch.counts.get('cancelled', 0), 'job')} cancelled")
    return 0
