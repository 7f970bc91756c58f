"""What `lipserve bench` can show of the servers under its load: a profile, and a trace."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from lipserve.errors import OptionsError
from lipserve.text import printable
from lipserve_cli.arguments import client_arguments
from lipserve_client._config import parse_urls
from lipserve_client._connection import Connection
from lipserve_client._output import write_whole
from lipserve_client._profiling.chrome_trace import chrome_trace
from lipserve_client._profiling.profile import StageProfile, form_of, look, metrics_urls, profile
from lipserve_client._profiling.spans import Collector
from lipserve_client._profiling.trace import Trace
from lipserve_client._targets import NO_MEDIA, check_target


def add_insight(parser: argparse.ArgumentParser) -> None:
    """Add what is to be shown, and where it comes from."""
    group = parser.add_argument_group("where the time goes")
    group.add_argument(
        "--profile", action="store_true", help="seconds of every stage and of every leaf model it calls"
    )
    group.add_argument(
        "--metrics-url",
        action="append",
        default=[],
        metavar="URL",
        help="a server's metrics page, for --profile (default: port 8002 of each --url's host); repeatable",
    )
    group.add_argument(
        "--peak",
        type=_peak,
        metavar="TFLOPS",
        help="what the server's device can do at best, 10^12 operations a second, for the share of it "
        "(the quality tier at full width; an A100 does 312 in FP16)",
    )
    group.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help="write every request's spans as a Chrome trace (chrome://tracing, https://ui.perfetto.dev)",
    )
    group.add_argument(
        "--collector",
        type=_address,
        default=("127.0.0.1", 4318),
        metavar="HOST:PORT",
        help="where --trace listens for the servers' spans (default 127.0.0.1:4318)",
    )


def check(arguments: argparse.Namespace) -> None:
    """Raise OptionsError or InputError where the arguments ask for what cannot be shown."""
    if arguments.peak is not None and not arguments.profile:
        raise OptionsError("--peak is for a profile.", "Add --profile.")
    if arguments.trace is not None:
        check_target(arguments.trace, (arguments.video, arguments.speech), NO_MEDIA)
    if arguments.profile:
        metrics_urls(arguments.metrics_url, ())


@contextmanager
def traced(arguments: argparse.Namespace) -> Iterator[Trace | None]:
    """Give what traces clips where that is asked for, and write its file at the end of the block."""
    if arguments.trace is None:
        yield None
        return
    with Collector(*arguments.collector) as collector:
        trace = Trace(collector)
        yield trace
    spans = trace.spans()
    write_whole(arguments.trace, json.dumps(chrome_trace(spans)) + "\n")
    print(
        f"{printable(str(arguments.trace))}: {len(spans)} spans; open it at https://ui.perfetto.dev",
        file=sys.stderr,
    )


@asynccontextmanager
async def profiled(arguments: argparse.Namespace) -> AsyncIterator[list[StageProfile]]:
    """Give a list, and where a profile is asked for fill it, at the end of the block."""
    stages: list[StageProfile] = []
    if not arguments.profile:
        yield stages
        return
    known = client_arguments(arguments)
    urls = parse_urls(known["urls"])
    pages = metrics_urls(arguments.metrics_url, urls)
    connections = [Connection(url, known["tls"], known["headers"]) for url in urls]
    try:
        before = await look(connections, pages)
        yield stages
        stages += profile(before, await look(connections, pages), await form_of(connections[0]))
    finally:
        for connection in connections:
            connection.close()


def _peak(text: str) -> float:
    try:
        peak = float(text)
    except ValueError:
        peak = 0.0
    if not 0 < peak < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return peak


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:4318")
    return host, int(port)
