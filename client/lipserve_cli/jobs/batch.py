"""`lipserve jobs batch`: sends many jobs together, and fetches their results."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path

from lipserve.errors import InputError, LipServeError
from lipserve.text import counted, printable
from lipserve_cli.jobs.fetching import save
from lipserve_cli.jobs.folder import Folder
from lipserve_cli.jobs.service import add_gateway, add_json, going_on, open_jobs, told
from lipserve_cli.progress import bytes_bar, counting_bar
from lipserve_client._jobs import Batch, Job, Jobs

_EXAMPLES = """\
examples:
  lipserve jobs batch manifest.csv
      a row for each job: video,speech,name,options.crf,metadata.order
  lipserve jobs batch manifest.jsonl --json
  lipserve jobs batch manifest.csv -o results
      write each result to results/NAME.mp4 as soon as it is there; the same
      command goes on where an earlier one has stopped
  lipserve jobs batch --show 0193a5c0c3b8f2d7a6b1c4e5f6071829 -o results
  lipserve jobs batch --show 0193a5c0c3b8f2d7a6b1c4e5f6071829
      count the jobs of a batch by state
"""
_MOST_TOLD = 20  # failures


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Send a manifest of jobs, at most 10,000: CSV with a header, or a JSON object in each line. All are "
        "accepted or none; files are relative to the manifest, and each is sent once. With --wait or -o the "
        "exit code is 0 only if every job was done, else the highest of those that its jobs would have alone."
    )
    parser.epilog = _EXAMPLES
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("manifest", metavar="MANIFEST", type=Path, nargs="?", help="file with the rows")
    which.add_argument("--show", metavar="ID", help="take this batch instead of sending one")
    parser.add_argument("--wait", action="store_true", help="wait until every job of it has ended")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        type=Path,
        help="write results to this folder, named as their rows are, else by their jobs' ids; implies --wait",
    )
    parser.add_argument("--name", metavar="TEXT", default="", help="what people see")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no summary")
    add_json(parser)
    add_gateway(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    jobs = open_jobs(arguments)
    folder = _folder(arguments)
    batch = _batch(jobs, arguments, folder)
    code = 0
    waits = arguments.wait or folder is not None
    if waits:
        ends = _ended(jobs, batch, folder, arguments.quiet)
        batch, code = jobs.get_batch(batch), ends.exit_code
        if not (arguments.quiet or arguments.json):
            _summarise(ends, folder)
    brief = arguments.show is None and not waits
    if arguments.json or not (arguments.quiet and waits):
        told(batch.view, [batch.id] if brief else _described(batch), arguments.json)
    return code


def _folder(arguments: argparse.Namespace) -> Folder | None:
    if arguments.output is None:
        return None
    if arguments.show is not None:
        return Folder.of_batch(arguments.output, arguments.show)
    return Folder.of_manifest(arguments.output, arguments.manifest)


def _batch(jobs: Jobs, arguments: argparse.Namespace, folder: Folder | None) -> Batch:
    """Return the batch: the one that is named, that was sent by an earlier run, or a new one."""
    known = arguments.show if folder is None else folder.batch
    if known is not None:
        return jobs.get_batch(known)
    with bytes_bar(arguments.quiet) as on_upload:
        batch = jobs.batch(
            arguments.manifest,
            name=arguments.name,
            idempotency_key=None if folder is None else folder.key,
            on_upload=on_upload,
        )
    if folder is not None:
        folder.sent(batch.id)
    return batch


@dataclass
class _Ends:
    """How the jobs of a batch ended.

    Attributes:
        done: jobs. fetched: results that were written now. failures: what is told of each, and its error.
    """

    done: int = 0
    fetched: int = 0
    failures: list[tuple[Job, LipServeError]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return max((error.exit_code for _, error in self.failures), default=0)


def _ended(jobs: Jobs, batch: Batch, folder: Folder | None, quiet: bool) -> _Ends:
    """Wait for the end of every job, and fetch its result where there is a folder for it."""
    ends, total = _Ends(), batch.rows
    go_on = ["lipserve", "jobs", "batch", "--show", batch.id]
    go_on += ["--wait"] if folder is None else ["-o", str(folder.path)]
    with going_on("The jobs go on.", go_on), counting_bar(quiet, "jobs, time left") as on_progress:
        for number, job in enumerate(jobs.as_ended(batch), 1):
            try:
                job.check()
                ends.fetched += folder is not None and _fetched(jobs, job, folder)
                ends.done += 1
            except LipServeError as error:
                if job.state == "done" and not isinstance(error, InputError):
                    raise  # the service or the disk, and not this job
                ends.failures.append((job, error))
            if on_progress is not None:
                on_progress(number, max(number, total))
    return ends


def _fetched(jobs: Jobs, job: Job, folder: Folder) -> bool:
    """Write the result of a job, unless it is there already; return whether it was not."""
    path = folder.file(job, ".mp4" if job.kind == "dub" else ".json")
    if path.exists():
        return False
    if job.kind == "dub":
        jobs.wait(job, output=path)
    else:
        save(jobs.measured(job), path)
    return True


def _summarise(ends: _Ends, folder: Folder | None) -> None:
    if folder is not None:
        earlier = ends.done - ends.fetched
        there = f"; {earlier} were there already" if earlier else ""
        print(f"{printable(str(folder.path))}: {counted(ends.fetched, 'result')}{there}")
    for job, error in ends.failures[:_MOST_TOLD]:
        print(f"{job.id}  {printable(job.name) or '-'}: {' '.join(str(error).split())}", file=sys.stderr)
    if len(ends.failures) > _MOST_TOLD:
        print(f"and {len(ends.failures) - _MOST_TOLD} more", file=sys.stderr)
    failed = next((job for job, _ in ends.failures if job.state != "done"), None)
    if failed is not None:
        print(f"Begin them anew, and wait again: lipserve jobs retry --batch {failed.batch}", file=sys.stderr)


def _described(batch: Batch) -> list[str]:
    counts = {"waiting": batch.waiting, **batch.counts}
    cancelled = ", cancelled" if batch.state == "cancelled" else ""
    rows = [f"{batch.id}  {counted(batch.rows, 'job')}{cancelled}"]
    return rows + [f"  {state:<10}{count}" for state, count in counts.items() if count]
