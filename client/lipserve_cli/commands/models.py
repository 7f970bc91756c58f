"""`lipserve models`: list the models of the servers."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lipserve_cli.arguments import add_server, open_client
from lipserve_client._results import ModelStatus

_EXAMPLES = """\
examples:
  lipserve models
  lipserve models --url gpu1:8001,gpu2:8001 --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List the models of every server with name, version, state and purpose. The state READY does not "
        "prove that a model answers; `lipserve health --deep` does."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    add_server(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    with open_client(arguments) as client:
        found = client.models()
    if arguments.json:
        print(json.dumps([asdict(status) for status in found], indent=2))
    else:
        _show(found)
    return 0


def _show(found: list[ModelStatus]) -> None:
    several = len({status.url for status in found}) > 1
    table = Table(box=None, pad_edge=False)
    for title in [*(["server"] if several else []), "model", "version", "state", "kind", "tier", "reason"]:
        table.add_column(title)
    for status in found:
        row = [status.name, status.version, status.state, status.kind, status.tier or "all", status.reason]
        table.add_row(*(escape(cell) for cell in ([status.url] if several else []) + row))
    Console().print(table)
