"""`lipserve train prepare`: turn talking videos into a dataset of aligned faces and speech."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lipserve.errors import SetupError
from lipserve.quality.lips import FPS
from lipserve_training.commands import Commands

if TYPE_CHECKING:
    from lipserve_training.data.outcomes import Outcome

MIN_SYNC = 0.2  # docs/compression.md#data shows which of the known clips this keeps and drops


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "prepare",
        help="turn talking videos into a dataset of aligned faces and speech",
        description="Turn talking videos into a dataset for training: aligned face crops at 25 fps, face "
        "meshes and speech. A video whose lips do not follow its sound is left out; report.json gives the "
        "reason. An interrupted command continues when it is run again.",
        epilog="examples:\n"
        "  lipserve train prepare CLIPS -o build/dataset\n"
        "  lipserve train prepare GRID -o build/grid --speakers speakers.txt \\\n"
        "      --offset trust",
    )
    parser.add_argument(
        "videos", type=Path, nargs="+", metavar="VIDEOS", help="talking videos: files or folders"
    )
    parser.add_argument(
        "-o", dest="dataset", type=Path, required=True, metavar="DATASET", help="folder of the dataset"
    )
    parser.add_argument(
        "--models", type=Path, default=Path("build/model_repository"),
        metavar="DIR", help="model repository with the face models (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--speakers", type=Path, metavar="FILE",
        help="text file that names the speaker of each video: lines of `file speaker` (default: the name of "
        "the video's sub-folder; a video in no sub-folder is a speaker of its own)",
    )  # fmt: skip
    parser.add_argument(
        "--offset", choices=("estimate", "trust"), default="estimate",
        help="estimate and correct the offset of the sound, or trust the files (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--min-sync", type=float, metavar="R", default=MIN_SYNC,
        help="least correlation between the lips and the lips predicted from the sound, from -1 to 1, for a "
        "clip of 12 s; shorter clips need more; -1 keeps every clip (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, metavar="N", help="number of processes (default: one per core)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        SetupError: no video, or none of them gave a clip; an option or a file is wrong.
        StorageError: the disk is full.
        KeyboardInterrupt: Ctrl-C; what is done stays done.
    """
    from lipserve_training.data import pool, prepare
    from lipserve_training.data.videos import find

    if options.workers is not None and options.workers < 1:
        raise SetupError(f"--workers is {options.workers}.", "Give 1 or more.")
    if not -1 <= options.min_sync <= 1:
        raise SetupError(f"--min-sync is {options.min_sync}.", "Give a correlation from -1 to 1.")
    speakers = read_speakers(options.speakers) if options.speakers else {}
    videos = find(options.videos, speakers)
    settings = prepare.Settings(options.models, options.offset, options.min_sync)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for name in sorted(speakers.keys() - {video.name for video in videos} - {v.path.name for v in videos}):
        console.print(f"warning: {options.speakers} names {name}, but no video is called so", markup=False)
    columns = (TextColumn("prepare"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(videos))

        def on_done(outcome: Outcome) -> None:
            for reason in outcome.dropped:
                progress.console.print(f"dropped {outcome.source}: {reason}", markup=False)
            progress.advance(task)

        workers = options.workers or pool.cores()
        try:
            outcomes = prepare.prepare(videos, options.dataset, settings, workers, on_done)
        except KeyboardInterrupt:
            done = f"{progress.tasks[task].completed:.0f} of {len(videos)} videos"
            progress.console.print(f"stopped after {done}; run the same command again to go on")
            raise
    _tell(console, outcomes, options.dataset)


def read_speakers(path: Path) -> dict[str, str]:
    """Return the speakers of a file of `file speaker` lines; `#` begins a comment, a file may have blanks."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {error}.", "Give lines of `file speaker`.") from error
    speakers: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].rsplit(maxsplit=1)
        if not words:
            continue
        if len(words) == 1:
            raise SetupError(
                f"{path}, line {number}: {line!r} is not `file speaker`.", "Give a file and a speaker."
            )
        file, speaker = words[0].strip(), words[1]
        if speakers.setdefault(file, speaker) != speaker:
            raise SetupError(f"{path}, line {number}: {file} has two speakers.", "Keep one of the lines.")
    return speakers


def _tell(console: Console, outcomes: list[Outcome], dataset: Path) -> None:
    clips = [clip for outcome in outcomes for clip in outcome.clips]
    if not clips:
        raise SetupError(
            f"None of the {len(outcomes)} videos gave a clip.",
            f"The reasons are in {dataset / 'report.json'}.",
        )
    speakers: Counter[str] = Counter()
    offsets: Counter[int] = Counter()
    for clip in clips:
        speakers[clip.speaker] += clip.frames
        offsets[clip.offset] += 1
    taken, whole = sum(speakers.values()) / FPS, sum(outcome.frames for outcome in outcomes) / FPS
    empty = sum(not outcome.clips for outcome in outcomes)
    console.print(f"{len(clips)} clips in {dataset}: {taken:.0f} s of {whole:.0f} s", markup=False)
    console.print(f"{empty} of {len(outcomes)} videos gave none; {dataset / 'report.json'} tells why")
    moved = ", ".join(f"{offset:+d}: {count}" for offset, count in sorted(offsets.items()) if offset)
    console.print(f"clips whose sound was moved, by frames: {moved or 'none'}")
    for speaker, frames in speakers.most_common():
        console.print(f"  {speaker}: {frames / FPS:.0f} s", markup=False)
