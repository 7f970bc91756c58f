"""`lipserve bench`: a load generator."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from lipserve.errors import LipServeError, OptionsError
from lipserve_client._async_client import AsyncClient
from lipserve_client._commands.arguments import (
    Formatter,
    add_options,
    add_requests,
    add_server,
    client_arguments,
    options_of,
)
from lipserve_client._exit import EXIT_SERVER

_EXAMPLES = """\
examples:
  lipserve bench clip.mp4 speech.wav
  lipserve bench clip.mp4 speech.wav --concurrency 1,8,32 --requests 64 --json > bench.json

A request is a whole clip, sent as `lipserve sync` sends it. Times are of the whole clip, as its user waits.
"""


@dataclass(frozen=True)
class Level:
    """What was measured with `concurrency` clips at once.

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


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "bench",
        help="measure throughput and waiting times",
        description="Send VIDEO and SPEECH again and again, with more and more clips at once.",
        epilog=_EXAMPLES,
        formatter_class=Formatter,
    )
    parser.add_argument("video", metavar="VIDEO")
    parser.add_argument("speech", metavar="SPEECH")
    parser.add_argument(
        "--concurrency", type=_levels, default=(1, 2, 4, 8), metavar="N,...", help="default 1,2,4,8"
    )
    parser.add_argument(
        "--requests", type=int, metavar="N", help="clips at each level (default: three rounds of it)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    add_options(parser)
    add_server(parser)
    add_requests(parser, retries=0)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.requests is not None and arguments.requests < 1:
        raise OptionsError(f"--requests {arguments.requests} sends nothing.", "Give 1 or more.")
    levels = asyncio.run(_measure(arguments))
    if arguments.json:
        print(json.dumps([asdict(level) for level in levels], indent=2))
    else:
        _show(levels)
    return EXIT_SERVER if any(level.errors for level in levels) else 0


async def _measure(arguments: argparse.Namespace) -> list[Level]:
    async with AsyncClient(**client_arguments(arguments)) as client:
        options = {"tier": arguments.tier, **options_of(arguments)}
        # The first clip warms the server up, and its error, if any, is one for the user.
        await client.sync(arguments.video, arguments.speech, **options)
        return [
            await _level(client, arguments, options, concurrency) for concurrency in arguments.concurrency
        ]


async def _level(
    client: AsyncClient, arguments: argparse.Namespace, options: dict[str, Any], concurrency: int
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
                result = await client.sync(arguments.video, arguments.speech, **options)
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


def _show(levels: list[Level]) -> None:
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
    Console().print(table)


def _levels(text: str) -> tuple[int, ...]:
    try:
        levels = tuple(int(part) for part in text.split(","))
    except ValueError:
        levels = ()
    if not levels or min(levels) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list such as 1,2,4,8")
    return levels
