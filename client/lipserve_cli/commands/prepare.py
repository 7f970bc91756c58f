"""`lipserve prepare`: analyse a video once and write its SOURCE."""

from __future__ import annotations

import argparse
import sys
import time

from lipserve.lipwarp.source import from_bytes
from lipserve.text import counted, printable
from lipserve_cli.arguments import add_requests, add_server, open_client
from lipserve_cli.streams import STANDARD_OUTPUT, target_of
from lipserve_client._output import Output
from lipserve_client._targets import NO_MEDIA

_EXAMPLES = """\
examples:
  lipserve prepare host.mp4 -o host.source
  lipserve prepare panel.mp4 -o guest.source --face 640,220
  lipserve dub host.mp4 news.wav -o out.mp4 --source host.source
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Analyse frames from all over VIDEO and write a SOURCE file: the face to dub, how its mouth closes "
        "and opens, and pictures of it. `lipserve dub --source` then uses the file for any speech; without "
        "one, `dub` prepares the video each time."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("video", metavar="VIDEO", help="video or picture, in any format that FFmpeg reads")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="file of the SOURCE; - writes to standard output",
    )
    parser.add_argument(
        "--face",
        default="largest",
        metavar="FACE",
        help="face to prepare: largest, all, or the one that covers the pixel x,y (default %(default)s)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no summary")
    add_server(parser)
    add_requests(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    began = time.perf_counter()
    with (
        Output(target_of(arguments.output), (arguments.video,), NO_MEDIA) as target,
        open_client(arguments) as client,
    ):
        source = client.prepare(arguments.video, face=arguments.face)
        target.write(source)
        target.commit()
    if not arguments.quiet:
        people = from_bytes(source).people
        faces = counted(len(people), "face")
        mouths = sum(len(person.memories) for person in people)
        streamed = arguments.output == STANDARD_OUTPUT
        print(
            f"{'standard output' if streamed else printable(arguments.output)}: {faces}, "
            f"{counted(mouths, 'mouth')} remembered, {len(source) / 1e6:.1f} MB "
            f"in {time.perf_counter() - began:.1f} s",
            file=sys.stderr if streamed else sys.stdout,
        )
    return 0
