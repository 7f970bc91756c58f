"""`lipserve dub`: a video and a speech in, the lip-synced video out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from lipserve.text import counted, printable
from lipserve_cli.arguments import (
    add_options,
    add_provenance,
    add_requests,
    add_server,
    open_client,
    options_of,
)
from lipserve_cli.directing import add_direction, direction_of
from lipserve_cli.progress import frames_bar
from lipserve_cli.streams import STANDARD_OUTPUT, check_one_stream, stream, target_of
from lipserve_client._output import write_whole
from lipserve_client._results import DubResult
from lipserve_client._targets import NO_MEDIA, check_apart, check_target

_EXAMPLES = """\
examples:
  lipserve dub interview.mp4 speech.wav -o out.mp4
  lipserve dub portrait.jpg speech.mp3 -o out.mp4
      make a video of a picture
  lipserve dub panel.mp4 answer.wav -o out.mp4 --face 640,220
      dub the face that covers the pixel 640,220
  lipserve dub long.mov speech.flac -o out.mp4 --on-length-mismatch freeze
      hold the last frame until the speech ends
  lipserve dub host.mp4 news.wav -o out.mp4 --source host.source
      use what `lipserve prepare` has made of the video
  lipserve dub panel.mp4 -o out.mp4 --cues cues.json
      dub several people with a speech each, and leave the rest as it is
  lipserve dub vlog.mp4 new.wav -o out.mp4 --background video --loudness -16
      keep the video's own sound under the speech
  lipserve dub talk.mp4 new.wav -o - | ffplay -
      write the result to standard output
  lipserve dub a.mp4 b.wav -o c.mp4 --certificate a.pem --private-key a.key
      sign the result with a certificate of yours
  lipserve dub a.mp4 b.wav -o c.mp4 --mark AI --consent consent.json
      show the letters AI in a corner, and keep a record of consent
  lipserve dub a.mp4 b.wav -o c.mp4 --url gpu1:8001,gpu2:8001
      share the segments among two servers
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Make the lips of VIDEO follow SPEECH. The result is as long as the speech, has the\n"
        "video's size and frame rate (H.264), and the speech as its sound (AAC)."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("video", metavar="VIDEO", help="video or picture, in any format that FFmpeg reads")
    parser.add_argument(
        "speech",
        metavar="SPEECH",
        nargs="?",
        help="audio file, or a video whose sound is the speech; not needed where each cue names its own",
    )
    result = parser.add_argument_group("result")
    result.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="MP4",
        help="file of the result; - writes to standard output, while the rest is still made (--stream)",
    )
    result.add_argument(
        "--stream",
        action="store_true",
        help="write the file while the rest is still made, in fragments that can be played as they come; it "
        "carries no C2PA manifest",
    )
    result.add_argument(
        "--source",
        metavar="FILE",
        help="SOURCE of this video from `lipserve prepare` (default: prepare the video now)",
    )
    result.add_argument(
        "--report",
        metavar="JSON",
        help="also write the server's report (frames, faces, warnings ...) to this file; - writes to "
        "standard output",
    )
    result.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no summary")
    add_options(parser)
    add_provenance(parser)
    add_direction(parser)
    add_server(parser)
    add_requests(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    check_one_stream((arguments.output, arguments.report))
    streamed = arguments.output == STANDARD_OUTPUT
    output, report = target_of(arguments.output), _report_path(arguments)
    with open_client(arguments) as client, frames_bar(arguments.quiet) as on_progress:
        wanted: dict[str, Any] = {
            "tier": arguments.tier,
            "source": arguments.source,
            "on_progress": on_progress,
            **direction_of(arguments),
            **options_of(arguments),
        }
        if streamed or arguments.stream:
            result = stream(client, arguments.video, arguments.speech, output, **wanted)
        else:
            result = client.dub(arguments.video, arguments.speech, output=output, **wanted)
    report_text = result.report.model_dump_json(indent=2)
    if report is not None:
        write_whole(report, report_text + "\n")
    elif arguments.report == STANDARD_OUTPUT:
        print(report_text)
    if not arguments.quiet:
        summarise(arguments.output, result, streamed or arguments.report == STANDARD_OUTPUT)
    return 0


def _report_path(arguments: argparse.Namespace) -> Path | None:
    """Return the file of the report, if any; InputError if the name is not allowed."""
    if arguments.report in (None, STANDARD_OUTPUT):
        return None
    report = Path(arguments.report)
    if arguments.output != STANDARD_OUTPUT:
        check_apart(Path(arguments.output), report)
    inputs = filter(None, (arguments.video, arguments.speech, arguments.source))
    check_target(report, tuple(inputs), NO_MEDIA)
    return report


def summarise(output: str, result: DubResult, streamed: bool) -> None:
    """Print what was made; to stderr where standard output has something else."""
    report = result.report
    name = "standard output" if output == STANDARD_OUTPUT else printable(output)
    size = f"{report.width}x{report.height}"
    lines = [
        f"{name}: {counted(report.frames, 'frame')}, {report.seconds:.2f} s of {size} "
        f"at {report.fps:g} fps in {result.seconds:.1f} s ({result.realtime_factor:.2f}x real time)"
        f"{f', {result.prepare_seconds:.1f} s of it for preparing' if result.prepare_seconds else ''}"
    ]
    quality = report.quality
    if quality is not None and quality.agreement is not None:
        late = f" at {quality.offset_ms:+.0f} ms" if quality.offset_ms else ""
        lines.append(
            f"lips and speech agree by {quality.agreement:.2f}{late} "
            f"({counted(quality.samples, 'mouth')} measured)"
        )
    if quality is not None and quality.unheard:
        lines.append(f"lips and speech were not compared: {quality.unheard}")
    if report.untouched_frames:
        copied = f", {report.copied_frames} of them copied" if report.copied_frames else ""
        lines.append(
            f"as in the video: {counted(report.untouched_frames, 'frame')} without a speaker{copied}"
        )
    if report.faceless_frames:
        lines.append(f"as in the video: {counted(report.faceless_frames, 'frame')} without a face")
    if report.covered_frames:
        covered = counted(report.covered_frames, "frame")
        lines.append(f"as in the video: a mouth with something before it, in {covered}")
    print("\n".join(lines), file=sys.stderr if streamed else sys.stdout)
    for warning in report.warnings:
        print(f"warning: {' '.join(warning.split())}", file=sys.stderr)
