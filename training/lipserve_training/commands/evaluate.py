"""`lipserve train evaluate`: measure lip motion and image quality of the tiers."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lipserve.errors import SetupError, StorageError
from lipserve_training.commands import Commands
from lipserve_training.commands.prepare import MIN_SYNC, read_speakers
from lipserve_training.evaluate.judged import GIVEN, TIERS

if TYPE_CHECKING:
    from lipserve_training.evaluate.run import Outcome, Settings, Subject


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        help="evaluate the tiers, or a generator, on talking videos",
        description="Dub talking videos with their own speech and with other speeches, measure lip motion, "
        "image quality and colour of each tier, and write a table, plots, contact sheets and report.json.",
        epilog="examples:\n"
        "  lipserve train evaluate --clips CLIPS -o build/evaluate\n"
        "  lipserve train evaluate --clips CLIPS --tiers wav2lip --checkpoint mine.pth",
    )
    parser.add_argument(
        "--clips",
        type=Path,
        nargs="+",
        required=True,
        metavar="VIDEOS",
        help="talking videos: files or folders",
    )
    parser.add_argument(
        "--tiers", nargs="+", choices=TIERS, default=TIERS, help="tiers to evaluate (default: both)"
    )
    parser.add_argument(
        "--models", type=Path, default=Path("build/model_repository"),
        metavar="DIR", help="model repository with the leaf models of the tiers (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE",
        help="Wav2Lip generator of the tier wav2lip (default: the repository's)",
    )  # fmt: skip
    parser.add_argument("-o", dest="folder", type=Path, default=Path("build/evaluate"), metavar="DIR",
        help="folder of the results (default %(default)s)",
    )  # fmt: skip
    _add_people(parser)
    _add_measures(parser)
    parser.add_argument(
        "--docs",
        type=Path,
        metavar="FILE",
        help="Markdown file: the table and the plots are written between its marks",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="number of processes (default: one per core)"
    )
    parser.set_defaults(run=run)


def _add_people(parser: argparse.ArgumentParser) -> None:
    """Add the options of speakers and held-out clips."""
    parser.add_argument(
        "--speakers",
        type=Path,
        metavar="FILE",
        help="text file that names the speaker of each video: lines of `file speaker`",
    )
    parser.add_argument(
        "--recipe", metavar="FILE",
        help="recipe of the training (TOML file, or the name of one that comes with LipServe); it names the "
        "held-out speakers and the clips that were left out of the training",
    )  # fmt: skip
    parser.add_argument(
        "--seen", default="", metavar="SPEAKERS",
        help="speakers of the training, such as s1,s33: of theirs, only the clips that the recipe leaves out "
        "are evaluated; all other speakers count as held out",
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="also evaluate the clips of the training")


def _add_measures(parser: argparse.ArgumentParser) -> None:
    """Add the options of the measures, and of networks that only a user can supply."""
    parser.add_argument(
        "--offset", choices=("estimate", "trust"), default="estimate",
        help="estimate and correct the offset of the sound, or trust the files (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--wrong", type=int, default=5, metavar="N",
        help="as a baseline, dub each clip with the speeches of this many other clips too (default "
        "%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--colour", type=Path, nargs="+", default=(), metavar="VIDEOS",
        help="files or folders for which only the colour is evaluated: dark, grey, short or silent videos",
    )  # fmt: skip
    parser.add_argument(
        "--alignments", type=Path, metavar="FILE",
        help="table of GRID's words with their times, to measure whether the lips close at m, b and p",
    )  # fmt: skip
    parser.add_argument(
        "--syncnet", type=Path, metavar="FILE", help="the file syncnet_v2.model, to measure LSE-D and LSE-C"
    )
    parser.add_argument(
        "--features", type=Path, metavar="FILE",
        help="ONNX network of image features, to measure FID: float [N, 3, 224, 224] RGB in 0..1 to [N, D]",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        SetupError: a file is missing or of another kind, or no clip can be judged.
        StorageError: the folder cannot be written.
    """
    from lipserve_training.data.pool import cores
    from lipserve_training.evaluate import document
    from lipserve_training.evaluate.run import Settings, evaluate

    _check(options)
    if options.docs:
        document.check(options.docs)
        for folder in (options.docs.parent, options.docs.parent / options.docs.stem):
            _check_writable(folder, "Give another file with --docs.")
    settings = Settings(
        models=options.models,
        tiers=tuple(tier for tier in TIERS if tier in options.tiers),
        min_sync=MIN_SYNC,
        checkpoint=options.checkpoint,
        offset=options.offset,
        wrong_runs=options.wrong,
        alignments=options.alignments,
        syncnet=options.syncnet,
        features=options.features,
    )
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    subjects = _subjects(options, console)
    columns = (TextColumn("evaluate"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(subjects))

        def on_done(outcome: Outcome) -> None:
            if outcome.dropped:
                progress.console.print(f"dropped {outcome.source}: {outcome.dropped}", markup=False)
            progress.advance(task)

        outcomes = evaluate(subjects, settings, options.workers or cores(), on_done)
    table = _write(options.folder, outcomes, settings, options.docs)
    console.print(Markdown(table.split("\n\n", 1)[0]))
    console.print(f"Written: {options.folder / 'report.json'}", markup=False)


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot be done, before the work."""
    if options.wrong < 1:
        raise SetupError(f"--wrong is {options.wrong}.", "Give 1 or more.")
    if options.workers is not None and options.workers < 1:
        raise SetupError(f"--workers is {options.workers}.", "Give 1 or more.")
    if options.checkpoint and GIVEN.name not in options.tiers:
        raise SetupError(
            f"--checkpoint belongs to the tier {GIVEN.name}, which --tiers leaves out.",
            "Add that tier to --tiers, or leave --checkpoint out.",
        )
    _check_writable(options.folder, "Give another folder with -o.")


def _check_writable(folder: Path, remedy: str) -> None:
    """Refuse, before the work, a folder that cannot be made or written after it; nothing is made yet."""
    there = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise SetupError(
            f"{folder} cannot be written: {there} is not a folder with write permission.", remedy
        )


def _subjects(options: argparse.Namespace, console: Console) -> list[Subject]:
    """Return the videos to judge, and say how many of which kind there are."""
    from lipserve_training.data.videos import find
    from lipserve_training.evaluate.clips import split_of
    from lipserve_training.evaluate.run import Subject
    from lipserve_training.train import recipe

    speakers = read_speakers(options.speakers) if options.speakers else {}
    data = recipe.load_data(recipe.find(options.recipe)) if options.recipe else recipe.Data()
    trained = {name for name in options.seen.split(",") if name}
    videos = find(options.clips, speakers)
    found = [Subject(video, split_of(video, data, trained)) for video in videos]
    wanted = [subject for subject in found if options.all or subject.split != "trained"]
    counts = Counter(subject.split for subject in found)
    kinds = ", ".join(f"{counts[split]} {split}" for split in ("heldout", "seen", "trained") if counts[split])
    left_out = len(found) - len(wanted)
    console.print(f"{len(found)} videos: {kinds}" + (f" ({left_out} left out)" if left_out else ""))
    if not wanted:
        raise SetupError(
            "All videos were used in the training.", "Give other videos, or evaluate these too: --all."
        )
    coloured = find(options.colour, speakers) if options.colour else []
    return wanted + [Subject(video, colour=True) for video in coloured]


def _write(folder: Path, outcomes: list[Outcome], settings: Settings, docs: Path | None) -> str:
    """Write all that is found into a folder, and table and plots into a document; return the table."""
    from lipserve_training.evaluate import document, plots, report

    found = report.build(outcomes, settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        judged = [outcome.judged for outcome in outcomes if outcome.judged]
        plots.write(folder, judged)
        sheets = {one.row.clip: one.sheet for one in judged}
        sheets |= {row.clip: page for row, page in (outcome.colour for outcome in outcomes if outcome.colour)}
        plots.save_sheets(folder / "sheets", sheets)
        table = report.write(folder, found)
        if docs:
            document.put(docs, folder)
        return table
    except OSError as error:
        raise StorageError(
            f"{error.filename or folder} cannot be written: {error.strerror}.",
            "Free some space, or give another folder with -o.",
        ) from error
