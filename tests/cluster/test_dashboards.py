"""The dashboards as files: what Grafana, and who reads them, needs of each panel."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from observe import table
from observe.dashboards import FOLDER, main
from tests.cluster.monitoring import RULES
from tests.cluster.panels import dashboards, metrics

UNITS = {
    "none",
    "s",
    "d",
    "ms",
    "percentunit",
    "cpm",
    "cps",
    "bytes",
    "watt",
    "joule",
    "celsius",
    "hertz",
    "currencyUSD",
}
PANELS = [(board["uid"], panel) for board in dashboards() for panel in board["panels"]]


def test_files_are_what_the_code_gives(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_a_stale_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(FOLDER, tmp_path / "dashboards")
    monkeypatch.setattr("observe.dashboards.FOLDER", copy)
    assert main(["--check"]) == 0
    (copy / "lipserve-stale.json").write_text("{}")
    assert main(["--check"]) == 1
    assert capsys.readouterr().out.startswith("Stale: lipserve-stale.json. ")


def test_there_are_six_with_a_name_each() -> None:
    boards = dashboards()
    assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == 6
    for board in boards:
        assert not board["editable"]
        assert board["description"]
        variables = {variable["name"]: variable for variable in board["templating"]["list"]}
        assert variables["datasource"]["query"] == "prometheus"
        assert variables["namespace"]["refresh"] == variables["job"]["refresh"] == 2  # when the time changes


@pytest.mark.parametrize(
    ("board", "panel"), PANELS, ids=[f"{board}: {panel['title']}" for board, panel in PANELS]
)
def test_panel(board: str, panel: dict[str, object]) -> None:
    text = json.dumps(panel)
    assert panel["title"]
    assert str(panel["description"]).endswith(".")
    assert re.search(r'"unit": "([^"]+)"', text)[1] in UNITS  # type: ignore[index]
    assert set(re.findall(r'"datasource": \{[^}]*"uid": "([^"]*)"', text)) == {"${datasource}"}
    for target in panel["targets"]:  # type: ignore[attr-defined]
        assert target["legendFormat"]
        for counter, window in re.findall(r"(?:rate|increase)\((\w+)[^[]*\[([^]]+)\]", target["expr"]):
            assert window == "$__rate_interval" or counter == "lipserve_model_restarts_total"
        for read in metrics(target["expr"]):
            assert not read.endswith("_total") or re.search(rf"(rate|increase)\({read}", target["expr"])


def test_recorded_series_that_panels_read_exist() -> None:
    groups = yaml.safe_load((RULES / "recording.yaml").read_text())["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"]}
    read = {name for _, panel in PANELS for target in panel["targets"] for name in metrics(target["expr"])}
    assert {name for name in read if ":" in name} <= recorded


def test_metric_names_of_a_query_are_found() -> None:
    query = (
        'sum by (a, le) (rate(x_total{b="y_total"}[5m])) / on () group_left () (z:rate5m or vector(0)) > 1e6'
    )
    assert metrics(query) == {"x_total", "z:rate5m"}


def test_the_documents_table_has_every_alert_and_panel(capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main(["--check"]) == 0, capsys.readouterr().out
