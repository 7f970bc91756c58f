"""Send thousands of damaged files to a server of its own, and hold every answer to what is right.

    python -m stress.fuzz [--inputs 2000] [--minutes 10] [--first 0] [--folder build/fuzz]

A case is told by its number: `--first 1234 --inputs 1` sends one again. Inputs that went wrong are kept in
the folder, beside report.json. The exit status is 1 where any did.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stress import arguments
from stress.cases import Case, case
from stress.judge import Judge, Verdict
from stress.served import served
from stress.watch import Memory

_CHECKED = 20  # cases between two good requests


def main() -> int:
    args = _arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    with (
        served(args.repository, args.folder / "triton.log") as server,
        closing(Judge(server.url, Memory(server.pid))) as judge,
    ):
        report = run(judge, args.first, args.inputs, 60 * args.minutes, args.folder, console)
    (args.folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    faults = report["faults"]
    console.print({name: value for name, value in report.items() if name != "faults"})
    for fault in faults:
        console.print(f"[red]{fault['case']}[/]: {fault['fault']}", highlight=False)
    return 1 if faults else 0


def run(
    judge: Judge, first: int, inputs: int, seconds: float, folder: Path, console: Console
) -> dict[str, Any]:
    """Return what became of so many cases, or of those that the time allows."""
    outcomes: Counter[str] = Counter()
    verdicts: list[Verdict] = []
    faults: list[dict[str, Any]] = []
    began = time.monotonic()
    columns = (TextColumn("fuzz"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=inputs)
        for sent, verdict in judged(judge, first, inputs, seconds):
            verdicts.append(verdict)
            outcomes[verdict.outcome] += 1
            if verdict.fault:
                faults.append({"case": sent.name, **asdict(verdict)})
                (folder / sent.name).write_bytes(sent.data)
            progress.advance(task)
    return {
        "inputs": len(verdicts),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "outcomes": dict(outcomes.most_common()),
        "slowest_seconds": round(max(verdict.seconds for verdict in verdicts), 2),
        "largest_growth_mib": round(max(verdict.grown for verdict in verdicts) / 2**20),
        "faults": faults,
    }


def judged(judge: Judge, first: int, inputs: int, seconds: float) -> Iterator[tuple[Case, Verdict]]:
    """Yield cases and what became of them; after some of them a good request must still be right."""
    until = time.monotonic() + seconds
    for number in range(first, first + inputs):
        sent = case(number)
        verdict = judge.judge(sent)
        last = number == first + inputs - 1 or time.monotonic() > until
        if not verdict.fault and (last or number % _CHECKED == 0):
            verdict = Verdict(verdict.outcome, judge.still_right(), verdict.seconds, verdict.grown)
        yield sent, verdict
        if last:
            return


def _arguments() -> argparse.Namespace:
    parser = arguments.parser("fuzz", __doc__)
    parser.add_argument("--inputs", type=int, default=2000, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--minutes", type=float, default=10, metavar="M", help="at most (default %(default)s)"
    )
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first case")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(arguments.ended(main))
