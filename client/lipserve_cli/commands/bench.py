"""`lipserve bench`: a load generator, with a profile and a trace of the servers under its load."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from lipserve.errors import LipServeError, OptionsError, ServerError
from lipserve_cli.arguments import (
    add_options,
    add_requests,
    add_server,
    client_arguments,
    options_of,
)
from lipserve_cli.insight import add_insight, check, profiled, traced
from lipserve_cli.profile_table import profile_table
from lipserve_client._async_client import AsyncClient
from lipserve_client._profiling.profile import StageProfile
from lipserve_client._profiling.trace import Trace

_EXAMPLES = """\
examples:
  lipserve bench clip.mp4 speech.wav
  lipserve bench clip.mp4 speech.wav --levels 1,8,32 --requests 64 --json
  lipserve bench clip.mp4 speech.wav --profile --trace trace.json

A request is a whole clip, sent as `lipserve dub` sends it. Its time is the time
that a user waits for the whole clip.

--trace needs a server that sends its spans to this machine:
  lipserve serve --trace-to http://127.0.0.1:4318/v1/traces
"""


_WIDTH = 140  # characters


@dataclass(frozen=True)
class Level:
    """Measurements with `concurrency` clips in flight.

    Attributes:
        seconds: wall time of all `requests` together.
        p50, p95, p99: seconds that a clip took; None where none succeeded.
        realtime_factor: seconds of result for each second of wall time.
        errors: how many clips failed, by the code of their error.
    """

    concurrency: int
    requests: int
    seconds: float
    clips_per_second: float
    frames_per_second: float
    realtime_factor: float
    p50: float | None
    p95: float | None
    p99: float | None
    errors: dict[str, int]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure throughput and latency of the servers: dub VIDEO with SPEECH again and again, at each level "
        "with more clips at the same time."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("video", metavar="VIDEO", help="video or picture, in any format that FFmpeg reads")
    parser.add_argument("speech", metavar="SPEECH", help="audio file, or a video whose sound is the speech")
    parser.add_argument(
        "--levels",
        type=_levels,
        metavar="N,...",
        help="clips in flight, one measurement per number (default 1,2,4,8; with --profile or --trace: 1)",
    )
    parser.add_argument(
        "--requests", type=int, metavar="N", help="clips per level (default: three times the level)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    add_insight(parser)
    add_options(parser)
    add_server(parser)
    add_requests(parser, retries=0)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.requests is not None and arguments.requests < 1:
        raise OptionsError(f"--requests is {arguments.requests}.", "Give 1 or more.")
    check(arguments)
    if arguments.levels is None:
        arguments.levels = (1,) if arguments.profile or arguments.trace else (1, 2, 4, 8)
    with traced(arguments) as trace:
        levels, stages = asyncio.run(_measure(arguments, trace))
    if arguments.json:
        every = [asdict(level) for level in levels]
        found = {"levels": every, "profile": [asdict(stage) for stage in stages]}
        print(json.dumps(found if arguments.profile else every, indent=2))
    else:
        _show(levels, stages, arguments.peak)
    return ServerError.exit_code if any(level.errors for level in levels) else 0


async def _measure(
    arguments: argparse.Namespace, trace: Trace | None
) -> tuple[list[Level], list[StageProfile]]:
    async with AsyncClient(**client_arguments(arguments)) as client:
        options = {"tier": arguments.tier, **options_of(arguments)}
        # The first clip warms the server up, and its error, if any, is one for the user.
        with trace.clip() if trace else nullcontext():
            await client.dub(arguments.video, arguments.speech, **options)
        if trace:
            await trace.begin()
        levels: list[Level] = []
        async with profiled(arguments) as stages:
            for concurrency in arguments.levels:
                levels.append(await _level(client, arguments, options, concurrency, trace))
        if trace and not await trace.settle():
            print("warning: some spans did not come; the trace lacks them", file=sys.stderr)
        return levels, stages


async def _level(
    client: AsyncClient,
    arguments: argparse.Namespace,
    options: dict[str, Any],
    concurrency: int,
    trace: Trace | None,
) -> Level:
    requests = arguments.requests or 3 * concurrency
    waits: list[float] = []
    errors: Counter[str] = Counter()
    frames, length = 0, 0.0
    tickets = iter(range(requests))

    async def user() -> None:
        nonlocal frames, length
        for _ in tickets:
            try:
                with trace.clip() if trace else nullcontext():
                    result = await client.dub(arguments.video, arguments.speech, **options)
            except LipServeError as error:
                errors[error.code] += 1
                continue
            waits.append(result.seconds)
            frames += result.report.frames
            length += result.report.seconds

    began = time.perf_counter()
    await asyncio.gather(*(user() for _ in range(concurrency)))
    seconds = time.perf_counter() - began
    p50, p95, p99 = np.percentile(waits, (50, 95, 99)).tolist() if waits else [None] * 3
    return Level(
        concurrency,
        requests,
        seconds,
        len(waits) / seconds,
        frames / seconds,
        length / seconds,
        p50,
        p95,
        p99,
        dict(errors),
    )


def _show(levels: list[Level], stages: list[StageProfile], peak: float | None) -> None:
    # A file or a pipe is as wide as what is written to it.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(_level_table(levels))
    if stages:
        console.print()
        console.print(profile_table(stages, peak))


def _level_table(levels: list[Level]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("clips at once", "clips/s", "frames/s", "x real time", "p50 s", "p95 s", "p99 s", "errors"):
        table.add_column(title, justify="right")
    for level in levels:
        errors = ", ".join(f"{count} {code}" for code, count in level.errors.items()) or "0"
        table.add_row(
            str(level.concurrency),
            f"{level.clips_per_second:.2f}",
            f"{level.frames_per_second:.1f}",
            f"{level.realtime_factor:.2f}",
            *("-" if wait is None else f"{wait:.2f}" for wait in (level.p50, level.p95, level.p99)),
            errors,
        )
    return table


def _levels(text: str) -> tuple[int, ...]:
    try:
        levels = tuple(int(part) for part in text.split(","))
    except ValueError:
        levels = ()
    if not levels or min(levels) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list such as 1,2,4,8")
    return levels
