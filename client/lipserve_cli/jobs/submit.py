"""`lipserve jobs submit`: sends a job."""

from __future__ import annotations

import argparse
import sys
from typing import Any, get_args

from lipserve.errors import OptionsError
from lipserve_cli.arguments import add_options, options_of
from lipserve_cli.directing import add_direction, direction_of
from lipserve_cli.jobs.fetching import FILES, check_output, fetched
from lipserve_cli.jobs.service import add_gateway, add_json, open_jobs, told
from lipserve_cli.progress import bytes_bar
from lipserve_client._jobs.records import Kind, Priority

_EXAMPLES = """\
examples:
  lipserve jobs submit film.mp4 speech.wav
      print the job's id, and leave
  lipserve jobs submit film.mp4 speech.wav -o out.mp4
      wait for the result
  lipserve jobs submit https://example.com/film.mp4 s3://films/speech.wav
      let the service fetch the files
  lipserve jobs submit film.mp4 speech.wav --webhook https://example.com/done
  lipserve jobs submit panel.mp4 --cues cues.json --priority high
  lipserve jobs submit panel.mp4 --kind faces -o people.png
      find out who is in it, and draw them
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Send a video and a speech to a service for jobs. Its id is printed as soon as the service has "
        "everything; from then on the job needs nobody."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("video", metavar="VIDEO", help="video or picture: a file, https:// or s3://")
    parser.add_argument(
        "speech",
        metavar="SPEECH",
        nargs="?",
        help="audio, or a video whose sound is the speech; not needed where each cue names its own",
    )
    group = parser.add_argument_group("job")
    group.add_argument(
        "--kind",
        choices=get_args(Kind),
        default="dub",
        help="dub the video; or measure it: who is in it (faces), how good its lips are (check), how long a "
        "dub would take (estimate) (default %(default)s)",
    )
    group.add_argument(
        "-o", "--output", metavar="FILE", help=f"wait, and write the result to this file: {FILES}"
    )
    group.add_argument("--wait", action="store_true", help="wait until the job has ended")
    group.add_argument("--source", metavar="FILE", help="SOURCE of this video from `lipserve prepare`")
    group.add_argument(
        "--priority",
        choices=get_args(Priority),
        default="normal",
        help="among your own jobs (default %(default)s)",
    )
    group.add_argument("--name", metavar="TEXT", help="what people see (default: the video's name)")
    group.add_argument(
        "--metadata",
        metavar="NAME=TEXT",
        action="append",
        default=[],
        help="your own, given back with the job; repeatable",
    )
    group.add_argument("--webhook", metavar="URL", help="address that is told when the job has ended")
    group.add_argument(
        "--result",
        metavar="URL",
        help="where else the result is put: a presigned https:// address for PUT, or s3://",
    )
    group.add_argument(
        "--idempotency-key",
        metavar="TEXT",
        help="a second job with the same key within a day is the first one",
    )
    group.add_argument("-q", "--quiet", action="store_true", help="no progress bars, no summary")
    add_json(group)
    add_options(parser)
    add_direction(parser)
    add_gateway(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    jobs = open_jobs(arguments)
    check_output(arguments.output, arguments.kind, arguments.video, arguments.speech, arguments.source)
    with bytes_bar(arguments.quiet) as on_upload:
        job = jobs.submit(
            arguments.video,
            arguments.speech,
            kind=arguments.kind,
            tier=arguments.tier,
            source=arguments.source,
            priority=arguments.priority,
            webhook=arguments.webhook,
            result=arguments.result,
            name=arguments.name,
            metadata=_metadata(arguments.metadata),
            idempotency_key=arguments.idempotency_key,
            on_upload=on_upload,
            **direction_of(arguments),
            **options_of(arguments),
        )
    if arguments.output is None and not arguments.wait:
        told(job.view, [job.id], arguments.json)
        return 0
    if not arguments.quiet:
        print(f"job {job.id}", file=sys.stderr)
    return fetched(jobs, job, arguments)


def _metadata(given: list[str]) -> dict[str, Any]:
    found = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise OptionsError(f"--metadata {text} has no name.", "Give NAME=TEXT.")
        found[name] = value
    return found
