"""`lipserve faces`: who is in a video, and who speaks when."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from lipserve.quality.cast import FacesResult
from lipserve.text import printable
from lipserve_cli.arguments import add_requests, add_server, open_client
from lipserve_cli.progress import frames_bar
from lipserve_cli.streams import STANDARD_OUTPUT
from lipserve_client._output import write_whole
from lipserve_client._targets import NO_MEDIA, check_target

PICTURES = frozenset({".png"})
"""Endings of the file with the picture of everybody."""

_EXAMPLES = """\
examples:
  lipserve faces panel.mp4
  lipserve faces panel.mp4 -o people.png
      also draw who is who
  lipserve dub panel.mp4 answer.wav -o out.mp4 --face 2
      dub person 2 wherever they are seen
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Tell who is in VIDEO: a number for each person, when they are seen, and how long they speak, by the "
        "video's own sound. `lipserve dub --face NUMBER` takes the numbers."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("video", metavar="VIDEO", help="video, in any format that FFmpeg reads")
    parser.add_argument(
        "-o", "--output", metavar="PNG", help="also write a picture of everybody, with boxes and numbers"
    )
    parser.add_argument(
        "--json", metavar="FILE", help="also write all times and boxes; - writes to standard output"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no summary, no progress")
    add_server(parser)
    add_requests(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    to_standard_output = arguments.json == STANDARD_OUTPUT
    picture, figures = (
        check_target(Path(name), (arguments.video,), names) if name and name != STANDARD_OUTPUT else None
        for name, names in ((arguments.output, PICTURES), (arguments.json, NO_MEDIA))
    )
    with open_client(arguments) as client, frames_bar(arguments.quiet, "measuring") as on_progress:
        result = client.faces(arguments.video, on_progress=on_progress)
    text = json.dumps(result.to_json(), indent=2)
    if figures is not None:
        write_whole(figures, text + "\n")
    elif to_standard_output:
        print(text)
    if picture is not None and result.people:
        write_whole(picture, result.sheet, PICTURES)
    if not arguments.quiet:
        out = sys.stderr if to_standard_output else sys.stdout
        print(*lines(arguments.video, result), sep="\n", file=out)
    return 0


def lines(video: str, result: FacesResult) -> list[str]:
    """Return who is in a video as lines of text."""
    people = len(result.people)
    return [f"{printable(video)}: {people} {'person' if people == 1 else 'people'}", *result.rows()]
