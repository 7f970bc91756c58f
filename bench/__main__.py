"""Measure the tiers `wav2lip` and `lipwarp` through a real Triton: speed, cost, memory, and load.

    python -m bench [--quick] [CLIP ...]

Writes build/bench/report.json and prints the tables of docs/performance.md.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import floor
from bench.in_process import InProcess
from bench.meter import Meter, stage_seconds
from demo import portrait
from lipserve import Client, DubResult, audio
from lipserve.contracts import SAMPLE_RATE
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve.segments import Span, source_frames
from lipserve.tiers import LIPWARP, WAV2LIP, Tier
from lipserve_client._samples import SPEECH
from lipserve_server.launcher.embedded import EmbeddedServer

ROOT = Path(__file__).resolve().parents[1]
MEDIA = ROOT.parent / "shared" / "data" / "video"
CLIPS = (
    "LipNet__bbaf2n.mpg",
    "video-retalking__2.mp4",
    "LivePortrait__s18.mp4",
    "LatentSync__demo1_video.mp4",
)
CLIENTS = 8
TURNS = 2  # of each tier, one after the other: the first also warms its models up


def main() -> int:
    args = _arguments()
    folder = args.folder
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    with EmbeddedServer(args.repository, 0, 0, log_file=folder / "triton.log") as server:
        bench = Bench(server, args.repository, folder, args.seconds)
        report: dict[str, Any] = {"machine": _machine(), "clips": []}
        for path in _clips(args.clips, folder, console):
            report["clips"].append(bench.clip(path))
            console.print(_speed_table(report["clips"]))
        if not args.quick:
            first = _clips(args.clips, folder, console)[0]
            report["concurrency"] = bench.concurrency(first)
            report["memory"] = bench.memory(first)
            console.print_json(data={k: report[k] for k in ("concurrency", "memory")})
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"Written: {folder / 'report.json'}")
    return 0


class Bench:
    """The measurements, on one server."""

    def __init__(self, server: EmbeddedServer, repository: Path, folder: Path, seconds: float) -> None:
        self._server, self._repository, self._folder, self._seconds = server, repository, folder, seconds

    def clip(self, path: Path) -> dict[str, Any]:
        """Return the row of one clip: as it is, and extended by a longer speech, with and without Triton."""
        info = probe.probe(path)
        short, _ = self._measure(path, self._speech(info.seconds), WAV2LIP)
        speech = self._speech(self._seconds)
        before = stage_seconds(self._server.metrics_url)
        result, meter = self._measure(path, speech, WAV2LIP)
        busy = {k: v - before.get(k, 0.0) for k, v in stage_seconds(self._server.metrics_url).items()}
        stages = {m.name: busy[m.name] for m in WAV2LIP.pipeline.stages}
        alone, alone_meter = self._in_process(path, speech)
        beside = self._tiers(path, speech)
        report = result.report
        assert result.path is not None  # an output was named
        bare = floor.cpu_ms_per_frame(path, result.path, self._repository)
        cost = 1e3 * meter.cpu / report.frames
        return {
            "name": path.name,
            "width": info.width,
            "height": info.height,
            "seconds": report.seconds,
            "frames": report.frames,
            "segments": report.segments,
            "wall_seconds": round(meter.wall, 3),
            "realtime_factor": round(report.seconds / meter.wall, 2),
            "cpu_ms_per_frame": round(cost, 2),
            "libraries_cpu_ms_per_frame": bare,
            "over_libraries": round(cost / bare["sum"], 2),
            **beside,
            "cores_got": round(meter.cpu / meter.wall, 2),
            "share_per_stage": {k: round(v / sum(stages.values()), 3) for k, v in stages.items()},
            "busy_seconds": {k: round(v, 3) for k, v in busy.items() if v > 0},
            "peak_rss_mb": round(meter.peak / 2**20),
            "in_process_wall_seconds": round(alone_meter.wall, 3),
            "in_process_cpu_ms_per_frame": round(1e3 * alone_meter.cpu / alone.report.frames, 2),
            "triton_over_in_process": round(meter.wall / alone_meter.wall, 3),
            "short_request": {
                "seconds": short.report.seconds,
                "wall_seconds": round(short.seconds, 3),
                "realtime_factor": round(short.realtime_factor, 2),
            },
            "face_found": round(1 - report.faceless_frames / report.frames, 4),
            "detector_calls_per_second": round(report.detector_calls / report.seconds, 2),
        }

    def _tiers(self, path: Path, speech: Path) -> dict[str, float]:
        """Return what a frame costs each tier, the cheaper of two turns each, and the ratio."""
        costs: tuple[list[float], list[float]] = ([], [])
        for _ in range(TURNS):
            for tier, found in zip((WAV2LIP, LIPWARP), costs, strict=True):
                result, meter = self._measure(path, speech, tier)
                found.append(1e3 * meter.cpu / result.report.frames)
        painted, moved = (min(found) for found in costs)
        return {
            "wav2lip_cpu_ms_per_frame": round(painted, 2),
            "lipwarp_cpu_ms_per_frame": round(moved, 2),
            "lipwarp_over_wav2lip": round(moved / painted, 3),
        }

    def concurrency(self, path: Path) -> dict[str, Any]:
        """Return what eight clients at once get, beside what one gets that sends the same in turn."""
        speech = self._speech(probe.probe(path).seconds)

        def once(_: int) -> bytes:
            with Client(self._server.url) as client:
                return client.dub(path, speech, tier=WAV2LIP.name).content

        began = time.perf_counter()
        alone = [once(i) for i in range(CLIENTS)]
        middle = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            together = list(pool.map(once, range(CLIENTS)))
        ended = time.perf_counter()
        return {
            "clients": CLIENTS,
            "identical_results": sum(video == alone[0] for video in together),
            "one_after_another_seconds": round(middle - began, 3),
            "at_once_seconds": round(ended - middle, 3),
            "throughput_gain": round((middle - began) / (ended - middle), 2),
        }

    def memory(self, path: Path) -> dict[str, Any]:
        """Return the peak memory of a one-minute video and of a ten-minute one."""
        peaks = {}
        for minutes in (1, 10):
            _, meter = self._measure(self._long(path, minutes), self._speech(60.0 * minutes), WAV2LIP)
            peaks[minutes] = round(meter.peak / 2**20)
        return {"peak_rss_mb": peaks, "ratio": round(peaks[10] / peaks[1], 3)}

    def _long(self, path: Path, minutes: int) -> Path:
        """Return a video file of that length: the clip, played to and fro."""
        info, long = probe.probe(path), self._folder / f"{path.stem}.{minutes}min.mp4"
        count = round(60 * minutes * info.fps)
        frames = source_frames(Span(0, count), info.frames, "loop", count)
        with VideoWriter(long, info.width, info.height, info.fps, info.colour, preset="ultrafast") as writer:
            for picture in decode.read_order(path, info, frames):
                writer.write(picture)
        return long

    def _measure(self, path: Path, speech: Path, tier: Tier) -> tuple[DubResult, Meter]:
        output = self._folder / f"{path.stem}.{tier.name}.mp4"
        with Client(self._server.url) as client, Meter(self._server.pid) as meter:
            result = client.dub(path, speech, tier=tier.name, output=output)
        return result, meter

    def _in_process(self, path: Path, speech: Path) -> tuple[DubResult, Meter]:
        factory = functools.partial(InProcess, repository=self._repository)
        with Client(self._server.url, transport=factory) as client, Meter() as meter:
            result = client.dub(
                path, speech, tier=WAV2LIP.name, output=self._folder / f"{path.stem}.in_process.mp4"
            )
        return result, meter

    def _speech(self, seconds: float) -> Path:
        """Return a speech of that length: the demo's, over and over."""
        path = self._folder / f"speech_{round(1000 * seconds)}.wav"
        if not path.exists():
            once = audio.load(SPEECH)
            path.write_bytes(audio.wav(np.resize(once, round(seconds * SAMPLE_RATE))))
        return path


def _clips(names: list[str], folder: Path, console: Console) -> list[Path]:
    paths = [Path(name) for name in names] or [MEDIA / name for name in CLIPS]
    for path in paths:
        if not path.exists():
            console.print(f"left out: {path.name} is not on this machine")
    found = [path for path in paths if path.exists()]
    if not found:
        made = folder / "portrait.mp4"
        made.write_bytes(portrait.clip())
        found = [made]
    return found


def _speed_table(rows: list[dict[str, Any]]) -> Table:
    columns = (
        "name",
        "realtime_factor",
        "cpu_ms_per_frame",
        "over_libraries",
        "lipwarp_over_wav2lip",
        "cores_got",
        "triton_over_in_process",
        "peak_rss_mb",
    )
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    return table


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "load": os.getloadavg(),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("clips", nargs="*", help="videos (default: the four of the reference media)")
    parser.add_argument("--seconds", type=float, default=40.0, help="of speech that each clip is extended to")
    parser.add_argument(
        "--repository", type=Path, default=ROOT / "build" / "model_repository", help="of models"
    )
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "bench", help="where everything is left"
    )
    parser.add_argument("--quick", action="store_true", help="leave out the load and memory runs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
