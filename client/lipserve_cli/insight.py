"""The profile and the trace of the servers that `lipserve bench` can record under its load."""

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
    """Add the flags of the profile and of the trace."""
    group = parser.add_argument_group("profile and trace")
    group.add_argument(
        "--profile", action="store_true", help="show the seconds that each stage and each leaf model took"
    )
    group.add_argument(
        "--metrics-url",
        action="append",
        default=[],
        metavar="URL",
        help="metrics page of a server, for --profile; repeatable (default: port 8002 of each --url's host)",
    )
    group.add_argument(
        "--peak",
        type=_peak,
        metavar="TFLOPS",
        help="peak of the server's device in 10^12 operations a second (an A100: 312 in FP16); the profile "
        "then shows the share of it that is used (tier latentsync at full width)",
    )
    group.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help="write the spans of every request as a Chrome trace (open it at https://ui.perfetto.dev)",
    )
    group.add_argument(
        "--collector",
        type=_address,
        default=("127.0.0.1", 4318),
        metavar="HOST:PORT",
        help="address at which --trace receives the servers' spans (default 127.0.0.1:4318)",
    )


def check(arguments: argparse.Namespace) -> None:
    """Raise OptionsError or InputError if the arguments of profile and trace contradict each other."""
    if arguments.peak is not None and not arguments.profile:
        raise OptionsError("--peak needs --profile.", "Add --profile.")
    if arguments.trace is not None:
        check_target(arguments.trace, (arguments.video, arguments.speech), NO_MEDIA)
    if arguments.profile:
        metrics_urls(arguments.metrics_url, ())


@contextmanager
def traced(arguments: argparse.Namespace) -> Iterator[Trace | None]:
    """Yield the trace if --trace is given, and write its file at the end of the block."""
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
    """Yield a list; at the end of the block, fill it with the profile if --profile is given."""
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
