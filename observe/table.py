"""Write the table of every alert and panel, with what was seen of each, into the guide.

    pytest tests/cluster/test_observe.py && python -m observe.table [--check]

Alerts are seen by promtool's cases in tests/cluster/rules, panels by tests/cluster/test_observe.py, which
leaves build/test/panels.json. `--check` compares names alone: values are another run's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from observe.dashboards import DASHBOARDS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs/operations/observability.md"
SEEN = ROOT / "build/test/panels.json"
BEGIN, END = "<!-- observed: begin -->", "<!-- observed: end -->"
# By Grafana's unit: a factor, and what is written behind the number.
_SCALES = {
    "percentunit": (100.0, " %"),
    "s": (1.0, " s"),
    "ms": (1.0, " ms"),
    "d": (1.0, " days"),
    "bytes": (1 / 2**20, " MiB"),
    "cpm": (1.0, " a minute"),
    "cps": (1.0, " a second"),
    "watt": (1.0, " W"),
    "joule": (1.0, " J"),
    "celsius": (1.0, " °C"),
    "hertz": (1e-6, " MHz"),
    "currencyUSD": (1.0, " $"),
}


def main(arguments: list[str]) -> int:
    """Return 1 where `--check` finds an alert or a panel that the table does not have, or one too many."""
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    held, _, after = rest.partition(END)
    if arguments:
        named = {line.split("|")[1].strip() for line in held.splitlines() if line.startswith("| ")}
        wanted = {f"`{rule['alert']}`" for rule in _alerts()} | {"alert", "panel", "---"}
        wanted |= {f"{board.title[10:]}: {panel.title}" for board in DASHBOARDS for panel in board.panels}
        if named != wanted:
            differ = ", ".join(sorted(named ^ wanted))
            print(f"{DOCUMENT.relative_to(ROOT)}: {differ}. Run `python -m observe.table`.")
        return int(named != wanted)
    if not SEEN.is_file():
        print(f"{SEEN.relative_to(ROOT)} is not there. Run `pytest tests/cluster/test_observe.py` first.")
        return 1
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{_alert_table()}\n\n{_panel_table()}\n\n{END}{after}")
    return 0


def _alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "helm/lipserve/files/rules/alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _alert_table() -> str:
    seen: dict[str, str] = {}
    for path in sorted((ROOT / "tests/cluster/rules").glob("*.yaml")):
        for case in yaml.safe_load(path.read_text())["tests"]:
            for part in case.get("alert_rule_test", []):
                for alert in part["exp_alerts"]:
                    seen.setdefault(part["alertname"], alert["exp_annotations"]["description"])
    lines = ["| alert | severity | after | seen, in a case of promtool |", "| --- | --- | --- | --- |"]
    for rule in _alerts():
        name, severity = rule["alert"], rule["labels"]["severity"]
        lines.append(f"| `{name}` | {severity} | {rule.get('for', 'at once')} | {seen[name]} |")
    return "\n".join(lines)


def _panel_table() -> str:
    lines = ["| panel | largest value seen | from |", "| --- | --- | --- |"]
    for panel in json.loads(SEEN.read_text()):
        factor, unit = _SCALES.get(panel["unit"], (1.0, ""))
        source = "real processes" if panel["live"] else "recorded series"
        title = panel["dashboard"].removeprefix("LipServe: ")
        lines.append(f"| {title}: {panel['panel']} | {_shown(panel['value'] * factor)}{unit} | {source} |")
    return "\n".join(lines)


def _shown(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
