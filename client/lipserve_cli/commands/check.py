"""`lipserve check`: measure any video: agreement of lips and speech, silence, sharpness, flicker."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from lipserve.quality.results import CheckResult
from lipserve.text import printable
from lipserve_cli.arguments import add_requests, add_server, open_client
from lipserve_cli.progress import frames_bar
from lipserve_cli.streams import STANDARD_OUTPUT
from lipserve_client._output import write_whole
from lipserve_client._targets import NO_MEDIA, check_target

_EXAMPLES = """\
examples:
  lipserve check out.mp4
  lipserve check out.mp4 --speech speech.wav
  lipserve check theirs.mp4 --json theirs.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure VIDEO, whoever made it: for each face, when it is seen, whether its lips follow the speech "
        "and by how many milliseconds they are late or early, whether the mouth closes in silence, how "
        "sharp the mouth is beside what is around it, and how it flickers."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("video", metavar="VIDEO", help="video, in any format that FFmpeg reads")
    parser.add_argument(
        "--speech", metavar="FILE", help="speech that the lips should follow (default: the sound of VIDEO)"
    )
    parser.add_argument(
        "--json", metavar="FILE", help="also write all figures, second by second; - writes to standard output"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no summary, no progress")
    add_server(parser)
    add_requests(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    target = _json_path(arguments)
    with open_client(arguments) as client, frames_bar(arguments.quiet, "measuring") as on_progress:
        result = client.check(arguments.video, arguments.speech, on_progress=on_progress)
    text = json.dumps(result.to_json(), indent=2)
    if target is not None:
        write_whole(target, text + "\n")
    elif arguments.json == STANDARD_OUTPUT:
        print(text)
    if not arguments.quiet:
        out = sys.stderr if arguments.json == STANDARD_OUTPUT else sys.stdout
        print(*lines(arguments.video, result), sep="\n", file=out)
    return 0


def lines(video: str, result: CheckResult) -> list[str]:
    """Return the measurements of a video as lines of text."""
    first, *others = result.rows()
    return [f"{printable(video)}: {first}", *others]


def _json_path(arguments: argparse.Namespace) -> Path | None:
    """Return the file of the figures, if any; InputError if the name is not allowed."""
    if arguments.json in (None, STANDARD_OUTPUT):
        return None
    sources = filter(None, (arguments.video, arguments.speech))
    return check_target(Path(arguments.json), tuple(sources), NO_MEDIA)
