"""`lipserve jobs usage`: shows what was used in this month."""

from __future__ import annotations

import argparse

from lipserve.text import printable
from lipserve_cli.jobs.service import add_gateway, add_json, open_jobs, told
from lipserve_client._jobs import Usage

_EXAMPLES = """\
examples:
  lipserve jobs usage
  lipserve jobs usage --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Show what you have used in this month (UTC), and what you may use."
    parser.epilog = _EXAMPLES
    add_json(parser)
    add_gateway(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    usage = open_jobs(arguments).usage()
    told(usage.view, _described(usage), arguments.json)
    return 0


def _described(usage: Usage) -> list[str]:
    cost = "" if usage.cost is None else f", {usage.cost:g} for it"
    return [
        printable(usage.month),
        f"  {'jobs':<14}{usage.jobs} done, {usage.jobs_unfinished} not ended",
        f"  {'results':<14}{usage.seconds:.1f} s, {usage.bytes / 1e6:.1f} MB",
        f"  {'work':<14}{usage.work_seconds:.1f} s of the servers{cost}",
        f"  {'kept':<14}{usage.bytes_kept / 1e6:.1f} MB",
        *(f"  {name:<14}at most {value:.12g}" for name, value in usage.quota.items() if value is not None),
    ]
