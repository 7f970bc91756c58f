"""`lipserve serve`: an embedded Triton on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

_EXAMPLES = """\
examples:
  lipserve serve
  lipserve serve --repository build/model_repository --grpc-port 9001
  lipserve serve --limit preset=medium --limit result_mib=64
  lipserve serve --trace-to http://127.0.0.1:4318/v1/traces

The server listens on 127.0.0.1 only: it is for laptops, tests and
demonstrations. On Ctrl-C it completes the requests in flight, then stops.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run the Triton server that the extra `server` installs, on 127.0.0.1, until Ctrl-C."
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "--repository",
        type=Path,
        default=Path("build/model_repository"),
        metavar="DIR",
        help="model repository, made by `lipserve export` (default %(default)s)",
    )
    parser.add_argument(
        "--grpc-port", type=int, default=8001, metavar="PORT", help="gRPC port (default %(default)s)"
    )
    parser.add_argument(
        "--metrics-port",
        type=int,
        default=8002,
        metavar="PORT",
        help="port of the metrics (default %(default)s)",
    )
    parser.add_argument(
        "--log-file", type=Path, metavar="FILE", help="append the server's whole log to this file"
    )
    parser.add_argument(
        "--audit-log",
        type=Path,
        metavar="FILE",
        help="append a line of JSON for each request: its client, its outcome, and the digests of its files; "
        "- for standard output",
    )
    parser.add_argument(
        "--leaf-threads",
        type=int,
        default=1,
        metavar="N",
        help="threads of each leaf model; more threads make one clip faster, but not many clips at once "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--trace-to",
        metavar="URL",
        help="OTLP/HTTP collector that receives the spans of every request, such as `lipserve bench "
        "--trace` at http://127.0.0.1:4318/v1/traces",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="limit on requests, repeatable: pixels, preset, crf, steps, result_mib, message_mib, "
        "accepted_mib, waiting, waiting_seconds, stage_mib (docs/options.md)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from lipserve_server.launcher import embedded

    return embedded.serve(
        arguments.repository,
        arguments.grpc_port,
        arguments.metrics_port,
        log_file=arguments.log_file,
        audit_log=arguments.audit_log,
        trace_url=arguments.trace_to,
        leaf_threads=arguments.leaf_threads,
        limits=arguments.limit,
    )
