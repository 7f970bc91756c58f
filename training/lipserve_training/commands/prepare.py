"""`lipserve-train prepare`: talking videos to a dataset of aligned faces and speech."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lipserve.errors import SetupError
from lipserve_training.commands import Commands
from lipserve_training.lips import FPS

if TYPE_CHECKING:
    from lipserve_training.data.prepare import Outcome

MIN_SYNC = 0.15


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("prepare", help="talking videos to a dataset of aligned faces and speech")
    parser.add_argument("videos", type=Path, nargs="+", metavar="VIDEOS", help="folders, or files")
    parser.add_argument("-o", dest="dataset", type=Path, required=True, metavar="DATASET")
    parser.add_argument(
        "--models", type=Path, default=Path("build/model_repository"),
        help="a model repository with the face models (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--speakers", type=Path, metavar="FILE",
        help="lines of `file speaker` (default: the name of the folder that a video lies in)",
    )  # fmt: skip
    parser.add_argument(
        "--offset", choices=("estimate", "trust"), default="estimate",
        help="estimate the offset of sound and lips and correct it, or trust the files (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--min-sync", type=float, metavar="R", default=MIN_SYNC,
        help="least correlation of the lips with what the sound asks for "
        "(default %(default)s; -1 keeps every clip)",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, help="processes (default: as many as there are cores)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        SetupError: no video, or none of them gave a clip.
    """
    from lipserve_training.data import prepare

    speakers = read_speakers(options.speakers) if options.speakers else {}
    videos = prepare.find(options.videos, speakers)
    settings = prepare.Settings(options.models, options.offset, options.min_sync)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("prepare"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(videos))

        def on_done(outcome: Outcome) -> None:
            for reason in outcome.dropped:
                progress.console.print(f"dropped {outcome.source}: {reason}", markup=False)
            progress.advance(task)

        outcomes = prepare.prepare(
            videos, options.dataset, settings, options.workers or prepare.cores(), on_done
        )
    _tell(console, outcomes, options.dataset)


def read_speakers(path: Path) -> dict[str, str]:
    """Return the speakers of a file of `file speaker` lines; `#` begins a comment."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {error}.", "Give lines of `file speaker`.") from error
    speakers: dict[str, str] = {}
    for line in lines:
        words = line.partition("#")[0].split()
        if len(words) not in (0, 2):
            raise SetupError(f"{path}: {line!r} is not `file speaker`.", "Write two words a line.")
        if words:
            speakers[words[0]] = words[1]
    return speakers


def _tell(console: Console, outcomes: list[Outcome], dataset: Path) -> None:
    clips = [clip for outcome in outcomes for clip in outcome.clips]
    if not clips:
        raise SetupError(
            f"None of {len(outcomes)} videos gave a clip.", f"{dataset / 'report.json'} tells the reasons."
        )
    seconds: Counter[str] = Counter()
    for clip in clips:
        seconds[clip.speaker] += clip.frames
    console.print(f"{len(clips)} clips of {len(outcomes)} videos in {dataset}")
    for speaker, frames in seconds.most_common():
        console.print(f"  {speaker}: {frames / FPS:.0f} s", markup=False)
