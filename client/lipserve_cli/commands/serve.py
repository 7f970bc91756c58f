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

It listens on 127.0.0.1 only: for laptops, tests and demonstrations.
Ctrl-C finishes what is in flight, and ends.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run the Triton server that the extra `server` brings, on 127.0.0.1, until Ctrl-C."
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "--repository",
        type=Path,
        default=Path("build/model_repository"),
        metavar="DIR",
        help="the model repository, as `lipserve export` fills it (default %(default)s)",
    )
    parser.add_argument("--grpc-port", type=int, default=8001, metavar="PORT", help="default %(default)s")
    parser.add_argument("--metrics-port", type=int, default=8002, metavar="PORT", help="default %(default)s")
    parser.add_argument(
        "--log-file", type=Path, metavar="FILE", help="append everything that the server tells"
    )
    parser.add_argument(
        "--leaf-threads",
        type=int,
        default=1,
        metavar="N",
        help="threads of each leaf model: more make a single clip's networks faster, not many clips' "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--trace-to",
        metavar="URL",
        help="send the spans of every request to an OTLP/HTTP collector: `lipserve bench --trace` is one, "
        "at http://127.0.0.1:4318/v1/traces",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of what requests may ask, once or more: pixels, preset, crf, steps, result_mib, message_mib, "
        "accepted_mib, waiting, stage_mib (docs/options.md)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from lipserve_server.launcher import embedded

    return embedded.serve(
        arguments.repository,
        arguments.grpc_port,
        arguments.metrics_port,
        log_file=arguments.log_file,
        trace_url=arguments.trace_to,
        leaf_threads=arguments.leaf_threads,
        limits=arguments.limit,
    )
