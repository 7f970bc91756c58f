"""`lipserve jobs erase`: removes jobs."""

from __future__ import annotations

import argparse

from lipserve_cli.jobs.service import add_gateway, add_named, check_named, open_jobs

_EXAMPLES = """\
examples:
  lipserve jobs erase 0193a5c0c3b8f2d7a6b1c4e5f6071829
  lipserve jobs erase --batch 0193a5c0c3b8f2d7a6b1c4e5f6071829
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Remove jobs with everything that belongs to them: the files that were sent, results, reports. Work "
        "on them ends. Nobody can bring them back."
    )
    parser.epilog = _EXAMPLES
    add_named(parser, "this batch, with all of its jobs")
    add_gateway(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    check_named(arguments)
    jobs = open_jobs(arguments)
    for id in arguments.jobs:
        jobs.erase(id)
        print(f"{id}: erased")
    if arguments.batch is not None:
        jobs.erase_batch(arguments.batch)
        print(f"{arguments.batch}: erased")
    return 0
