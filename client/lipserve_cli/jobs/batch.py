"""`lipserve jobs batch`: sends many jobs together."""

from __future__ import annotations

import argparse
from pathlib import Path

from lipserve.text import counted
from lipserve_cli.jobs.service import add_gateway, add_json, going_on, open_jobs, told
from lipserve_cli.progress import bytes_bar, counting_bar
from lipserve_client._jobs import Batch, Jobs

_EXAMPLES = """\
examples:
  lipserve jobs batch manifest.csv
      a row for each job: video,speech,name,options.crf,metadata.order
  lipserve jobs batch manifest.jsonl --json
  lipserve jobs batch manifest.csv --wait
  lipserve jobs batch --show 0193a5c0c3b8f2d7a6b1c4e5f6071829
      count the jobs of a batch by state
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Send a manifest of jobs, at most 10,000: CSV with a header, or a JSON object in each line. All are "
        "accepted or none; files are relative to the manifest, and each is sent once."
    )
    parser.epilog = _EXAMPLES
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("manifest", metavar="MANIFEST", type=Path, nargs="?", help="file with the rows")
    which.add_argument("--show", metavar="ID", help="show this batch instead of sending one")
    parser.add_argument("--wait", action="store_true", help="wait until every job of it has ended")
    parser.add_argument("--name", metavar="TEXT", default="", help="what people see")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    add_json(parser)
    add_gateway(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    jobs = open_jobs(arguments)
    if arguments.show is not None:
        batch = jobs.get_batch(arguments.show)
    else:
        with bytes_bar(arguments.quiet) as on_upload:
            batch = jobs.batch(arguments.manifest, name=arguments.name, on_upload=on_upload)
    if arguments.wait:
        batch = _ended(jobs, batch, arguments.quiet)
    brief = arguments.show is None and not arguments.wait
    told(batch.view, [batch.id] if brief else _described(batch), arguments.json)
    return 0


def _ended(jobs: Jobs, batch: Batch, quiet: bool) -> Batch:
    go_on = ["lipserve", "jobs", "batch", "--show", batch.id, "--wait"]
    with going_on("The jobs go on.", go_on), counting_bar(quiet, "jobs, time left") as on_progress:
        return jobs.wait_batch(batch, on_progress=on_progress)


def _described(batch: Batch) -> list[str]:
    counts = {"waiting": batch.waiting, **batch.counts}
    rows = [f"{batch.id}  {counted(batch.rows, 'job')}, {batch.state}"]
    return rows + [f"  {state:<10}{count}" for state, count in counts.items() if count]
