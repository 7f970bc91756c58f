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
  lipserve compare interview.mp4 speech.wav -o build/compare
  lipserve compare interview.mp4 speech.wav -o build/compare \\
      --first wav2lip_gan.pth --second mine.pth

weights:
  compressed  the generator that comes with LipServe
  original    a generator of the published size with seeded random weights, as
              none may be shipped: its speed is real, its mouth is noise

times:
  Each generator runs on a server of its own, started for it, one after the
  other, on the CPU of this machine. A server is started once before, untimed,
  so that neither generator pays for a cold disk. The segments of a long clip
  are sent one at a time.
  loading     from the start of the server until every model is ready, and
              the generator's own part of it
  faces       decode, find and crop faces: the same work for both
  generation  the generator, and the mel of the speech
  merging     paste the faces back, encode, add the sound
  other       read, send, join
  FPS is the number of frames of the result, divided by the sum of these times.
  The export of the weights is not timed.

pictures:
  Each generator gets the face crops that it was trained on: ours aligned
  crops, a public checkpoint detector boxes.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run two generators of the tier wav2lip on the same VIDEO and SPEECH. DIR receives both results, a "
        "video that shows them side by side, a contact sheet, and compare.json with the size and speed of "
        "each. The command needs the extras `server` and `export`."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "video", metavar="VIDEO", type=Path, help="video or picture, in any format that FFmpeg reads"
    )
    parser.add_argument(
        "speech", metavar="SPEECH", type=Path, help="audio file, or a video whose sound is the speech"
    )
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="DIR", help="folder of the results"
    )
    for which, default in (("first", "original"), ("second", "compressed")):
        parser.add_argument(
            f"--{which}",
            default=default,
            metavar="WEIGHTS",
            help=f"{which} generator: the file of a checkpoint, original, or compressed (default "
            "%(default)s)",
        )
    parser.add_argument(
        "--repository",
        type=Path,
        default=Path("build/model_repository"),
        metavar="DIR",
        help="model repository that provides the face models (default %(default)s)",
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
    """Write the comparison of the two results, which lie in `folder`."""
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
    """Yield a hidden folder inside `folder`; afterwards remove it, and `folder` if it is empty."""
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
    """Report a full or read-only disk as an error of this machine, not of the server."""
    try:
        with explained(folder):
            yield
    except StorageError as error:
        raise SetupError(error.message, error.remedy) from error
