"""`lipserve compare`: two generators on one video and one speech."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.markup import escape

from lipserve.errors import SetupError, StorageError
from lipserve.options import Options
from lipserve.show import contact_sheet, side_by_side
from lipserve.text import printable
from lipserve.tiers import WAV2LIP
from lipserve_cli.compare.generators import Choice, check_face_models, choose, export
from lipserve_cli.compare.measure import Measured, measure, warm_up
from lipserve_cli.compare.table import millions, show
from lipserve_cli.progress import frames_bar
from lipserve_client._clip import Clip
from lipserve_client._hidden import hidden_folder, sweep
from lipserve_client._output import move
from lipserve_client._targets import check_target, explained

FILES = ("first.mp4", "second.mp4", "side_by_side.mp4", "contact_sheet.png", "compare.json")

_EXAMPLES = """\
examples:
  lipserve compare interview.mp4 dubbed.wav -o build/compare
  lipserve compare interview.mp4 dubbed.wav -o build/compare --first wav2lip_gan.pth --second mine.pth

how it is timed:
  Each generator gets a server of its own, started anew, one after the other, on this machine's CPU;
  a start before them is not timed, so that neither pays for a cold disk. The segments of a long clip
  are sent one at a time.
  loading     from the start of the server until every model is ready; of it the generator's own part
  faces       decoding, finding and cropping faces: the same work for both
  generation  the generator, and the mel of the speech
  merging     pasting the faces back, encoding, adding the sound
  other       reading, sending, joining
  FPS is the frames of the result by the sum of all of them. Exporting the weights is not in it.

how it is seen:
  Each generator gets the crops that it knows: ours aligned ones, a public checkpoint boxes.

weights:
  `compressed` is the generator that comes with LipServe. `original` has seeded random weights, as none
  may be shipped: its speed is real, its mouth is noise.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run two generators on the same VIDEO and SPEECH, and write into DIR both results, one\n"
        "video that shows them side by side, a contact sheet, and compare.json with their size and speed.\n"
        "Needs the extras `server` and `export`."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("video", metavar="VIDEO", type=Path, help="any video or picture with a face")
    parser.add_argument("speech", metavar="SPEECH", type=Path, help="any audio file")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="DIR", help="where everything is written"
    )
    for which, default in (("first", "original"), ("second", "compressed")):
        parser.add_argument(
            f"--{which}",
            default=default,
            metavar="WEIGHTS",
            help="a checkpoint's file, `original` or `compressed` (default %(default)s)",
        )
    parser.add_argument(
        "--repository",
        type=Path,
        default=Path("build/model_repository"),
        metavar="DIR",
        help="a model repository, for its face models (default %(default)s)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no table")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    choices = choose(arguments.first, arguments.second)
    check_face_models(arguments.repository)
    Clip(arguments.video, arguments.speech, Options(), WAV2LIP.name)  # refused here, before anything is begun
    _check_targets(arguments, choices)
    with _workspace(arguments.output) as folder:
        measured = _measure(arguments, choices, folder)
        with _writing(arguments.output):
            _write(arguments, measured, folder)
            for name in FILES:
                move(folder / name, Path(os.path.realpath(arguments.output / name)))
    if not arguments.quiet:
        show(*measured)
        print("\n".join(printable(str(arguments.output / name)) for name in FILES))
    return 0


def _check_targets(arguments: argparse.Namespace, choices: Sequence[Choice]) -> None:
    with explained(arguments.output):
        exists = arguments.output.is_dir()
    if exists:
        checkpoints = [choice.checkpoint for choice in choices if choice.checkpoint is not None]
        for name in FILES:
            path = arguments.output / name
            check_target(path, (arguments.video, arguments.speech, *checkpoints), frozenset({path.suffix}))


def _measure(
    arguments: argparse.Namespace, choices: Sequence[Choice], folder: Path
) -> tuple[Measured, Measured]:
    def say(line: str) -> None:
        if not arguments.quiet:
            print(printable(line), file=sys.stderr, flush=True)

    generators = export(choices, arguments.repository, folder, say)
    say("Starting the server once, untimed ...")
    warm_up(generators[0])
    measured = []
    for generator, name in zip(generators, FILES, strict=False):
        say(f"Running {generator.name} ({generator.origin}) ...")
        with frames_bar(arguments.quiet, escape(printable(generator.name))) as on_progress:
            measured.append(measure(generator, arguments.video, arguments.speech, folder / name, on_progress))
    return measured[0], measured[1]


def _write(arguments: argparse.Namespace, measured: Sequence[Measured], folder: Path) -> None:
    """Write what is made of the two results, which lie in `folder`."""
    videos = [folder / name for name in FILES[:2]]
    names = [each.generator.name for each in measured]
    with frames_bar(arguments.quiet, "side by side") as on_progress:
        side_by_side.write(
            folder / "side_by_side.mp4",
            videos[0],
            videos[1],
            (names[0], names[1]),
            arguments.speech,
            on_progress,
        )
    labels = [
        f"{each.generator.name}  {millions(each.generator.parameters)} parameters"
        f"{', random weights' if each.generator.random else ''}"
        for each in measured
    ]
    rows = dict(zip(labels, videos, strict=True))
    contact_sheet.write(folder / "contact_sheet.png", arguments.video, rows, title=arguments.video.name)
    text = json.dumps(_account(arguments, measured), indent=2) + "\n"
    (folder / "compare.json").write_text(text)


def _account(arguments: argparse.Namespace, measured: Sequence[Measured]) -> dict[str, Any]:
    report = measured[0].result.report
    return {
        "video": str(arguments.video),
        "speech": str(arguments.speech),
        "width": report.width,
        "height": report.height,
        "video_fps": report.fps,
        "frames": report.frames,
        "seconds": report.seconds,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "generators": [each.to_json() for each in measured],
    }


@contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """Give a hidden folder inside `folder`; both are gone afterwards where nothing else came to be there."""
    made = not folder.exists()
    with contextlib.ExitStack() as stack:
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if made:
                stack.callback(_remove_empty, folder)
            sweep(folder)
            inside = stack.enter_context(hidden_folder(folder))
        yield inside.resolve()


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say of a disk that is full or read-only that it is this machine's."""
    try:
        with explained(folder):
            yield
    except StorageError as error:
        raise SetupError(error.message, error.remedy) from error
