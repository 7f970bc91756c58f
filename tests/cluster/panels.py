"""Evaluate every panel of the chart's dashboards as Grafana would, and say what was seen."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.cluster.monitoring import Prometheus

FOLDER = Path(__file__).resolve().parents[2] / "helm/lipserve/files/dashboards"
VARIABLES = {
    "$namespace": "lipserve",
    "$job": "lipserve(-jobs)?",
    "$__rate_interval": "15s",
    "$price": "2.50",
    "$gpus": "1",
}
_WORDS = {"by", "on", "or", "and", "unless", "group_left", "offset", "without", "ignoring", "bool"}


@dataclass(frozen=True)
class Seen:
    """What a panel showed: its largest value, and whether all its metrics came from real processes."""

    dashboard: str
    panel: str
    unit: str
    value: float
    live: bool


def dashboards() -> list[dict[str, Any]]:
    """Return the dashboards of the chart, by their titles."""
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


def substituted(expression: str) -> str:
    """Return a query with every variable of Grafana replaced."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def metrics(expression: str) -> set[str]:
    """Return the names of the metrics that a query reads."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", bare)
    bare = re.sub(r"\b(by|on|without|ignoring|group_left)\s*\([^)]*\)", "", bare)
    names = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?![a-zA-Z0-9_:]*\s*\()", bare)
    return {name for name in names if name not in _WORDS and not re.fullmatch(r"e\d+", name)}


def evaluate(server: Prometheus, start: float, end: float) -> tuple[list[Seen], list[str]]:
    """Return what each panel showed between two times, and each fault: an unknown metric, an empty query."""
    live = server.names('{__name__=~".+",source=""}')
    known = server.names('{__name__=~".+"}')
    seen, faults = [], []
    for board in dashboards():
        for panel in board["panels"]:
            place, largest, read = f"{board['title']}: {panel['title']}", -math.inf, set[str]()
            for target in panel["targets"]:
                query = substituted(target["expr"])
                read |= metrics(query)
                faults += [f"{place}: no metric {name}" for name in sorted(metrics(query) - known)]
                values = [value for value in server.values(query, start, end) if math.isfinite(value)]
                if values:
                    largest = max(largest, *values)
                else:
                    faults.append(f"{place}: nothing from {query}")
            unit = panel["fieldConfig"]["defaults"]["unit"]
            seen.append(Seen(board["title"], panel["title"], unit, largest, read <= live))
    return seen, faults


def write(seen: list[Seen], path: Path) -> None:
    """Keep what was seen for `python -m observe.table`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(panel) for panel in seen], indent=1))
