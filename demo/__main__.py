"""The main job once, on this machine: start the embedded Triton, send it a clip, look at what comes back.

python -m demo --repository build/model_repository --folder build/demo
python -m demo --repository build/user_repository --tier wav2lip
python -m demo --repository build/latentsync_repository --tier latentsync --steps 2
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from demo import portrait
from lipserve import Client, DubResult, audio
from lipserve.errors import LipServeError
from lipserve.media import probe
from lipserve.show import contact_sheet
from lipserve.tiers import TIERS
from lipserve_cli.arguments import add_options, options_of
from lipserve_cli.progress import frames_bar
from lipserve_client._samples import SPEECH
from lipserve_server.launcher.embedded import EmbeddedServer


def main() -> int:
    args = _arguments()
    console = Console(highlight=False, soft_wrap=True)
    args.folder.mkdir(parents=True, exist_ok=True)
    video = args.video or args.folder / "portrait.mp4"
    try:
        if args.video is None:
            video.write_bytes(portrait.clip())
        probe.probe(video)  # what cannot be served is refused before a server is started
        audio.load(args.audio)
        log = args.folder / "triton.log"
        log.unlink(missing_ok=True)
        server = EmbeddedServer(args.repository, 0, 0, log_file=log)
        console.print("Starting the embedded Triton ...")
        server.start()
        try:
            result = _sync(server.url, video, args)
        finally:
            server.stop()
    except LipServeError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print("[red]error:[/red]", escape(str(error)))
        return 1
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted")
        return 130
    (args.folder / "report.json").write_text(result.report.model_dump_json(indent=2) + "\n")
    contact_sheet.write(args.folder / "contact_sheet.png", video, {"result": args.output}, title=str(video))
    _tell(console, args, result)
    return 0


def _sync(url: str, video: Path, args: argparse.Namespace) -> DubResult:
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with Client(url) as client, frames_bar(quiet=not sys.stderr.isatty()) as on_progress:
        return client.dub(
            video,
            args.audio,
            tier=args.tier,
            output=args.output,
            on_progress=on_progress,
            **options_of(args),
        )


def _tell(console: Console, args: argparse.Namespace, result: DubResult) -> None:
    report = result.report
    console.print(f"video          {args.output}")
    console.print(f"report         {args.folder / 'report.json'}")
    console.print(f"contact sheet  {args.folder / 'contact_sheet.png'}")
    console.print(
        f"{report.frames} frames of {report.width}x{report.height} in {result.seconds:.1f} s: "
        f"{result.realtime_factor:.1f}x real time ({report.faceless_frames} without a face)"
    )
    console.print(f"generator      {report.weights}")
    for warning in report.warnings:
        console.print(f"[yellow]{escape(warning)}[/yellow]")
    if "random" in report.weights:
        console.print(f"[yellow]Everything around it is real. {TIERS[args.tier].trained}[/yellow]")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path("build/model_repository"))
    parser.add_argument("--folder", type=Path, default=Path("build/demo"), help="where everything is left")
    parser.add_argument("--video", type=Path, help="a video or a picture with a face (default: a portrait)")
    parser.add_argument("--audio", type=Path, default=SPEECH, help="the speech (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="the result (default: out.mp4 in the folder)")
    add_options(parser)
    args = parser.parse_args()
    args.output = args.output or args.folder / "out.mp4"
    return args


if __name__ == "__main__":
    sys.exit(main())
