"""`lipserve smoke`: dub a built-in clip and check the result."""

from __future__ import annotations

import argparse
import json

from lipserve.contracts import DEFAULT_TIER, TIER_NAMES
from lipserve_cli.arguments import add_server, open_client
from lipserve_client._smoke import SMOKE_SECONDS, smoke

_EXAMPLES = """\
examples:
  lipserve smoke
  lipserve smoke --url lipserve:8001 --timeout 60
  lipserve smoke --tier latentsync --url gpu1:8001 --json

exit code: 0 every check passed, 1 a check failed, 2 to 5 there is no result
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Dub a portrait with 2.4 seconds of speech (both come with the client) and check the result: its "
        "frames, its sound, that every frame has a face, that the mouth moves, and that nothing else moves."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "--tier", choices=TIER_NAMES, default=DEFAULT_TIER, help="generator to check (default %(default)s)"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=SMOKE_SECONDS,
        metavar="SECONDS",
        help="time limit for the answer (default %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    add_server(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    with open_client(arguments) as client:
        result = smoke(client, tier=arguments.tier, timeout=arguments.timeout)
    print(json.dumps(result.to_json(), indent=2) if arguments.json else "\n".join(result.rows()))
    return 0 if result.ok else 1
