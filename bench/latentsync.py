"""One window of the quality tier at full width through the embedded Triton, on this machine's CPU.

    python -m bench.latentsync [--steps 2] [--repository DIR]

Exports the published networks with random weights, on which speed does not depend, where the repository does
not hold them (8 GB of disk, and about as much memory again); serves them; sends a clip of 16 frames; prints
where the time went beside the floor: the counted operations at what the CPU reaches in plain matrix products,
measured in the same run. Writes build/bench/latentsync.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch

from demo import portrait
from lipserve import AsyncClient, DubResult, audio
from lipserve.contracts import FACE_DETECTOR, FACE_LANDMARKS, SAMPLE_RATE, Form
from lipserve.contracts.latentsync import WINDOW
from lipserve.errors import LipServeError
from lipserve.tiers import LATENTSYNC
from lipserve_client._connection import Connection
from lipserve_client._profiling.profile import StageProfile, form_of, look, profile
from lipserve_client._samples import SPEECH
from lipserve_client._transports import Answer, Call
from lipserve_client._transports.inband import InBand
from lipserve_export.latentsync import leaves, unet3d, vae
from lipserve_server.launcher.embedded import EmbeddedServer

ROOT = Path(__file__).resolve().parents[1]
SEED = 1247
FPS = 25
REQUEST_SECONDS = 3600.0
READY_SECONDS = 1800.0


class Patient(InBand):
    """Waits longer for an answer than the client's ten minutes: this is a GPU's work."""

    async def infer(self, call: Call, timeout: float) -> Answer:
        return await super().infer(call, REQUEST_SECONDS)


def export(repository: Path, faces: Path) -> None:
    """Fill a repository: the published networks for 256 pixels with random weights, the faces' models."""
    for leaf in (FACE_DETECTOR, FACE_LANDMARKS):
        shutil.copytree(faces / leaf.name / "1", repository / leaf.name / "1", dirs_exist_ok=True)
    told = f"random weights, seed {SEED}"
    form = Form(256, unet3d.FULL.block_out_channels[0])
    leaves.export_whisper(repository, leaves.whisper_source(SEED), form, print)
    autoencoder = leaves.Source(vae.random_vae(vae.FULL, SEED), told)
    leaves.export_vae(repository, autoencoder, form, print)
    unet = leaves.Source(unet3d.random_unet(unet3d.FULL, SEED), told)
    leaves.export_unet(repository, unet, 256, print)


def peak(threads: int) -> float:
    """Return the 10^12 operations a second of this CPU's best of ten FP32 matrix products."""
    torch.set_num_threads(threads)
    size = 2048
    a, b = torch.randn(size, size), torch.randn(size, size)
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds) / 1e12


async def clip(server: EmbeddedServer, args: argparse.Namespace) -> tuple[DubResult, list[StageProfile]]:
    """Return what came of a clip of one window, and what the stages did for it."""
    seconds = WINDOW / FPS
    speech = audio.wav(audio.load(SPEECH)[: round(seconds * SAMPLE_RATE)])
    connection = Connection(server.url)
    try:
        before = await look([connection], [server.metrics_url])
        async with AsyncClient(server.url, transport=Patient, retries=0) as client:
            result = await client.dub(
                portrait.clip(seconds),
                speech,
                tier=LATENTSYNC.name,
                output=args.folder / "latentsync.mp4",
                steps=args.steps,
                deepcache=args.deepcache,
            )
        after = await look([connection], [server.metrics_url])
        return result, profile(before, after, await form_of(connection))
    finally:
        connection.close()


def markdown(stages: list[StageProfile], reachable: float) -> str:
    """Return the rows of docs/performance.md.

    Args:
        reachable: 10^12 operations a second of plain matrix products.
    """
    head = ("stage, leaf", "calls", "rows", "seconds", "computing", "TFLOP", "GFLOP/s", "of peak", "floor, s")
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for stage in stages:
        lines.append(f"| **{stage.name}** | {stage.calls} | | {stage.seconds:.2f} | | | | | |")
        for leaf in stage.leaves:
            cells = [
                leaf.name,
                str(leaf.calls),
                str(leaf.rows),
                f"{leaf.seconds:.2f}",
                f"{leaf.computing:.2f}",
            ]
            rate = leaf.tflop_per_second
            if leaf.gflop is None or rate is None:
                cells += [""] * 4
            else:
                floor = leaf.gflop / 1e3 / reachable
                cells += [
                    f"{leaf.gflop / 1e3:.3f}",
                    f"{1e3 * rate:.1f}",
                    f"{rate / reachable:.0%}",
                    f"{floor:.2f}",
                ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    args = _arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    log = args.folder / "latentsync.log"
    log.unlink(missing_ok=True)
    try:
        if not (args.repository / "denoise_step_shallow" / "1" / "manifest.json").is_file():
            export(args.repository, args.faces)
        began = time.perf_counter()
        with EmbeddedServer(
            args.repository, 0, 0, log_file=log, leaf_threads=args.threads, ready_timeout=READY_SECONDS
        ) as server:
            ready = time.perf_counter() - began
            result, stages = asyncio.run(clip(server, args))
    except LipServeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    reachable = peak(args.threads)
    report = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": args.threads,
        "peak_tflop_per_second": reachable,
        "ready_seconds": ready,
        "wall_seconds": result.seconds,
        "frames": result.report.frames,
        "faceless_frames": result.report.faceless_frames,
        "steps": args.steps,
        "deepcache": args.deepcache,
        "stages": [asdict(stage) for stage in stages],
    }
    (args.folder / "latentsync.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"Ready after {ready:.0f} s; {result.report.frames} frames in {result.seconds:.1f} s.")
    print(f"Plain matrix products: {1e3 * reachable:.0f} GFLOP/s on {args.threads} threads.\n")
    print(markdown(stages, reachable))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.latentsync", description=__doc__.split("\n")[0])
    build = ROOT / "build"
    parser.add_argument("--steps", type=int, default=2, help="default %(default)s")
    parser.add_argument(
        "--deepcache", type=int, default=2, help="default %(default)s: every other step is shallow"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="of each leaf (default: all cores)"
    )
    parser.add_argument("--repository", type=Path, default=build / "full_width_repository", help="of models")
    parser.add_argument(
        "--faces",
        type=Path,
        default=build / "model_repository",
        help="where the faces' models are copied from",
    )
    parser.add_argument("--folder", type=Path, default=build / "bench", help="where everything is left")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
