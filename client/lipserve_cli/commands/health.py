"""`lipserve health`: check the servers and, with --deep, each model."""

from __future__ import annotations

import argparse
import json

from lipserve.errors import ServerError, TransportError
from lipserve_cli.arguments import add_server, open_client
from lipserve_client._results import ServerHealth

_EXAMPLES = """\
examples:
  lipserve health                  ask each server for its state
  lipserve health --deep           also send one small request to every model
  lipserve health --deep --json --url gpu1:8001,gpu2:8001

exit code: 0 all is well, 3 a server or a model fails, 4 a server does not answer
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Check every server. Triton reports ready even if the process of a Python model is dead: --deep "
        "sends a small request (a canary) to every model and names the models that fail."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("--deep", action="store_true", help="send a canary request to every model")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    add_server(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    with open_client(arguments) as client:
        found = client.health(deep=arguments.deep)
    if arguments.json:
        print(json.dumps([health.to_json() for health in found], indent=2))
    else:
        for health in found:
            _show(health)
    if any(health.error for health in found):
        return TransportError.exit_code
    return 0 if all(health.ok for health in found) else ServerError.exit_code


def _show(health: ServerHealth) -> None:
    if health.error:
        print(f"{health.url}: no answer: {health.error}")
        return
    state = "ready" if health.ready else "live, not ready" if health.live else "not live"
    print(f"{health.url}: {state}")
    for model in health.models:
        state = "ok" if model.ok else "FAILED"
        print(f"  {model.name:20} {state:6} {model.seconds * 1000:8.0f} ms  {model.error}".rstrip())
