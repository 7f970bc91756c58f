"""The Prometheus rules: held to promtool, to the code that they speak of, and to the runbooks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lipserve import errors
from lipserve.contracts import ENSEMBLES

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "helm/lipserve/files/rules"
CASES = sorted((Path(__file__).parent / "rules").glob("*.yaml"))


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed: apt-get install --no-install-recommends prometheus")
    return found


def _rules(name: str, kind: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((RULES / f"{name}.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def _cases() -> list[dict[str, Any]]:
    return [case for path in CASES for case in yaml.safe_load(path.read_text())["tests"]]


ALERTS = _rules("alerts", "alert")
RECORDED = _rules("recording", "record")


def test_rules_pass_the_linter(promtool: str) -> None:
    subprocess.run([promtool, "check", "rules", "--lint=all", *RULES.glob("*.yaml")], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_cases(promtool: str, path: Path) -> None:
    # Most of its time goes to collecting garbage, which a gigabyte makes needless.
    environment = os.environ | {"GOGC": "off", "GOMEMLIMIT": "1GiB", "GOMAXPROCS": "1"}
    command = [promtool, "test", "rules", path.name]
    done = subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_wrong_expectation_fails(promtool: str, tmp_path: Path) -> None:
    text = (Path(__file__).parent / "rules/recording.yaml").read_text()
    wrong = text.replace("../../../helm", str(ROOT / "helm")).replace("value: 7\n", "value: 8\n")
    assert wrong.count("value: 8\n") == 1
    (tmp_path / "wrong.yaml").write_text(wrong)
    done = subprocess.run(
        [promtool, "test", "rules", tmp_path / "wrong.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "lipserve:pending" in done.stdout + done.stderr


def test_every_alert_fires_in_a_case_and_is_silent_in_another() -> None:
    told = [part for case in _cases() for part in case.get("alert_rule_test", [])]
    names = {rule["alert"] for rule in ALERTS}
    assert {part["alertname"] for part in told if part["exp_alerts"]} == names
    assert {part["alertname"] for part in told if not part["exp_alerts"]} == names


def test_every_recording_rule_has_a_number() -> None:
    parts = [part for case in _cases() for part in case.get("promql_expr_test", []) if part["exp_samples"]]
    tested = {re.sub(r"^round\((.*), .*\)$", r"\1", part["expr"]) for part in parts}
    assert tested == {rule["record"] for rule in RECORDED}


def test_alerts_say_how_bad_what_and_what_to_do() -> None:
    runbooks = (ROOT / "docs/operations/runbooks.md").read_text()
    anchors = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", runbooks, re.MULTILINE)}
    for rule in ALERTS:
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (page, anchor) == ("docs/operations/runbooks.md", rule["alert"].lower())
        assert anchor in anchors, f"docs/operations/runbooks.md has no section {rule['alert']}"


def test_faults_leave_out_all_that_the_client_did_and_nothing_else() -> None:
    expr = next(rule["expr"] for rule in RECORDED if rule["record"] == "lipserve:faults:increase5m")
    told = re.search(r'outcome=~"([^"]*)"', expr)
    assert told
    clients = {code for root in (errors.InputError, errors.TransportError) for code in errors.codes(root)}
    assert set(told[1].split("|")) == clients | {"ok"}


def test_queues_leave_out_the_ensembles() -> None:
    ensembles = {model.name for model in ENSEMBLES}
    for expr in (rule["expr"] for rule in RECORDED if "nv_inference" in rule["expr"]):
        excluded = re.findall(r'model!~"([^"]*)"', expr)
        assert excluded
        assert all(set(names.split("|")) == ensembles for names in excluded)


def test_nothing_that_scales_reads_a_counter_of_queue_time() -> None:
    demand = yaml.safe_load((RULES / "recording.yaml").read_text())["groups"][0]
    assert demand["name"] == "lipserve.demand"
    assert not [rule for rule in demand["rules"] if "nv_inference" in rule["expr"]]


def test_no_ratio_has_a_floor_under_its_divisor() -> None:
    for rule in RECORDED:
        _, _, divisor = rule["expr"].partition("/")
        assert "clamp_min" not in divisor
        assert "rate(" not in divisor
