"""How long a client with one clip waits beside a client that has sent a hundred: times its wait alone.

    python -m bench.fairness [--clips 100] [--seconds 1] [--rounds 3]

One server, and each client in a process of its own, all on this machine. In every round the one client sends
its clip alone some times; then the other one sends all its clips at once, and the one sends its clip again,
with a pause before each. Writes build/fairness/report.json and prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

from demo import portrait
from lipserve import Client, audio
from lipserve.tiers import LIPWARP
from lipserve_server.launcher.embedded import DEFAULT_REPOSITORY, EmbeddedServer

HEADER = "x-lipserve-client"
FOLDER = Path("build/fairness")
_SIZE = (640, 360)
_ALONE = 6  # times in a round
_PAUSE = 2.0  # seconds, in which the other client gets every place again
_PATIENCE = 600.0  # seconds


@dataclass(frozen=True)
class Clip:
    """A clip of a portrait, and as much silence."""

    video: bytes
    speech: bytes

    @classmethod
    def of(cls, seconds: float) -> Clip:
        samples = np.zeros(round(16_000 * seconds), np.float32)
        return cls(portrait.clip(seconds, _SIZE), audio.wav(samples))


@dataclass(frozen=True)
class Answer:
    """One answered clip: seconds that its caller waited, and seconds of each stage in them."""

    seconds: float
    stages: dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description=__doc__)
    parser.add_argument("--clips", type=int, default=100, help="that the other client sends at once")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--crowd", metavar="URL", help=argparse.SUPPRESS)
    args = parser.parse_args()
    clip = Clip.of(args.seconds)
    if args.crowd:
        return _crowd(args.crowd, clip, args.clips)
    found = measure(clip, args.clips, args.seconds, args.rounds)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "report.json").write_text(json.dumps(found, indent=2))
    print("\n".join(table(found)))
    return 0


def measure(clip: Clip, clips: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Return the waits of one client, alone and beside the other, round by round."""
    found = []
    with (
        EmbeddedServer(DEFAULT_REPOSITORY, 0, 0) as server,
        Client(server.url, headers={HEADER: "one"}, timeout=_PATIENCE, provenance=False) as one,
        _other(server.url, clips, seconds) as other,
    ):
        _dub(one, clip)  # warms it up
        for _ in range(rounds):
            alone = [_dub(one, clip) for _ in range(_ALONE)]
            assert other.stdin
            assert other.stdout
            other.stdin.write("go\n")
            other.stdin.flush()
            beside = list(_beside(server, one, clip))
            line = json.loads(other.stdout.readline())
            found.append({"alone": _told(alone), "beside": _told(beside), "other": line})
            print(f"{len(beside)} beside: {_ratio(found[-1]):.2f} times", file=sys.stderr)
        other.communicate()
    load = round(os.getloadavg()[0], 1)
    return {"clips": clips, "clip_seconds": seconds, "rounds": found, "load": load}


def _beside(server: EmbeddedServer, one: Client, clip: Clip) -> Iterator[Answer]:
    """Send the clip while the other client's wait; the answers that came while they still did."""
    models = [LIPWARP.pipeline.ensemble.name]
    while not server.admission.queue(models)[0]:
        time.sleep(0.02)
    while True:
        time.sleep(_PAUSE)
        answer = _dub(one, clip)
        if server.admission.queue(models)[0] < 4:
            return
        yield answer


def _dub(client: Client, clip: Clip) -> Answer:
    began = time.perf_counter()
    report = client.dub(clip.video, clip.speech).report
    return Answer(time.perf_counter() - began, dict(report.stage_seconds))


@contextmanager
def _other(url: str, clips: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
    line = [sys.executable, "-m", "bench.fairness", "--crowd", url]
    line += ["--clips", str(clips), "--seconds", str(seconds)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def _crowd(url: str, clip: Clip, clips: int) -> int:
    """Send all clips at once for each line that comes; tell the seconds, and how many tries were refused."""
    with (
        Client(url, headers={HEADER: "other"}, timeout=_PATIENCE, retries=50, provenance=False) as client,
        ThreadPoolExecutor(clips) as threads,
    ):
        for _ in sys.stdin:
            began = time.perf_counter()
            results = [threads.submit(client.dub, clip.video, clip.speech) for _ in range(clips)]
            refused = sum(each.result().retries for each in results)
            told = {"seconds": round(time.perf_counter() - began, 2), "refused": refused}
            print(json.dumps(told), flush=True)
    return 0


def _told(answers: list[Answer]) -> list[dict[str, Any]]:
    return [
        {
            "seconds": round(answer.seconds, 3),
            "stages": {stage: round(spent, 3) for stage, spent in answer.stages.items()},
        }
        for answer in answers
    ]


def _ratio(found: dict[str, Any]) -> float:
    alone, beside = (median(answer["seconds"] for answer in found[key]) for key in ("alone", "beside"))
    return float(beside / alone)


def table(found: dict[str, Any]) -> list[str]:
    """Return the rows of docs/performance.md: medians of all rounds, and their quartiles."""
    both = {key: [answer for held in found["rounds"] for answer in held[key]] for key in ("alone", "beside")}
    rows = [
        "| the one client's clip | n | median s | quartiles | stages, median s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for key, answers in both.items():
        waits = [answer["seconds"] for answer in answers]
        low, _, high = quantiles(waits)
        stages = ", ".join(
            f"{stage} {median(answer['stages'][stage] for answer in answers):.2f}"
            for stage in answers[0]["stages"]
        )
        rows.append(f"| {key} | {len(waits)} | {median(waits):.2f} | {low:.2f} .. {high:.2f} | {stages} |")
    ratios = sorted(round(_ratio(held), 2) for held in found["rounds"])
    others = [held["other"]["seconds"] for held in found["rounds"]]
    return [
        *rows,
        f"{_ratio(both):.2f} times as long beside the other's {found['clips']} clips (by rounds {ratios}), "
        f"which took {median(others):.0f} s; load {found['load']}",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
