"""`lipserve estimate`: frames, seconds, memory and cost of a dub, before anything of it is sent."""

from __future__ import annotations

import argparse
import json

from lipserve_cli.arguments import add_options, add_requests, add_server, open_client, options_of

_EXAMPLES = """\
examples:
  lipserve estimate video.mp4 speech.wav
  lipserve estimate film.mkv dub.wav --price-per-hour 1.2
  lipserve estimate video.mp4 speech.wav --tier wav2lip --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Tell how many frames and requests `lipserve dub VIDEO SPEECH` would make, how long it would take, "
        "what memory the server would need, and what it would cost. Nothing of VIDEO and SPEECH is sent: the "
        "server is measured with short clips of our own, as large as the pictures of VIDEO."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("video", metavar="VIDEO", help="video or picture, in any format that FFmpeg reads")
    parser.add_argument("speech", metavar="SPEECH", help="speech: a sound file, or a video with sound")
    parser.add_argument(
        "--price-per-hour", type=float, metavar="PRICE", help="price of the server for an hour, for the cost"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    add_options(parser)
    add_server(parser)
    add_requests(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    with open_client(arguments) as client:
        found = client.estimate(
            arguments.video,
            arguments.speech,
            tier=arguments.tier,
            price_per_hour=arguments.price_per_hour,
            **options_of(arguments),
        )
    print(json.dumps(found.to_json(), indent=2) if arguments.json else "\n".join(found.rows()))
    return 0
