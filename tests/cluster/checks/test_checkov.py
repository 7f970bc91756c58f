"""checkov finds nothing in rendered objects and Dockerfiles but what checkov.yaml gives a reason for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).resolve().parents[3]
CHECKOV = ROOT / "build/checkov-3.3.30/bin/checkov"
LEFT = yaml.safe_load(Path(__file__).with_name("checkov.yaml").read_text())

Finding = tuple[str, str]


@pytest.fixture(scope="module")
def reports(
    render_files: Callable[..., dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """Return what checkov tells of every file of helm/lipserve/ci as rendered, and of every Dockerfile."""
    if not CHECKOV.is_file():
        pytest.skip("checkov 3.3.30 is absent: `make chart-test` installs it")
    folder = tmp_path_factory.mktemp("checkov")
    for path in (ROOT / "helm/lipserve/ci").glob("*-values.yaml"):
        made = render_files(yaml.safe_load(path.read_text()))
        texts = [text for name, text in sorted(made.items()) if name.endswith(".yaml")]
        (folder / path.name).write_text("\n---\n".join(texts))
    for path in (ROOT / "docker").glob("*.Dockerfile"):
        shutil.copy(path, folder)
    command = [
        CHECKOV,
        "--skip-download",
        "--framework",
        "kubernetes",
        "dockerfile",
        "-o",
        "json",
        "-d",
        folder,
    ]
    # Without this it asks its vendor for names of its checks.
    environment = os.environ | {"BC_SKIP_MAPPING": "TRUE"}
    told = subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment, check=False)
    found: list[dict[str, Any]] = json.loads(told.stdout)
    return found


@pytest.fixture(scope="module")
def findings(reports: list[dict[str, Any]]) -> dict[Finding, str]:
    """Return the name of each failed check, by its id and the object that failed it."""
    failed = [check for report in reports for check in report["results"]["failed_checks"]]
    return {(check["check_id"], _object(check)): check["check_name"] for check in failed}


def _object(check: dict[str, Any]) -> str:
    """Return Kind.name of an object, or the name of a Dockerfile."""
    if check["file_path"].endswith("Dockerfile"):
        return Path(check["file_path"]).name
    kind, _, name = check["resource"].split(".", 2)
    return f"{kind}.{name}"


def _is_left(finding: Finding, left: dict[str, Any]) -> bool:
    check, made = finding
    return left["check"] == check and any(fnmatchcase(made, pattern) for pattern in left["objects"])


def test_checkov_looks_at_every_object(reports: list[dict[str, Any]]) -> None:
    passed = {report["check_type"]: report["summary"]["passed"] for report in reports}
    assert passed["kubernetes"] > 1000
    assert passed["dockerfile"] > 50
    assert sum(report["summary"]["parsing_errors"] for report in reports) == 0


def test_nothing_is_found_without_a_reason_to_leave_it(findings: dict[Finding, str]) -> None:
    unexplained = [
        f"{check} {made}: {name}"
        for (check, made), name in findings.items()
        if not any(_is_left((check, made), left) for left in LEFT)
    ]
    assert unexplained == []


@pytest.mark.parametrize("left", LEFT, ids=[left["check"] for left in LEFT])
def test_no_reason_has_outlived_its_finding(left: dict[str, Any], findings: dict[Finding, str]) -> None:
    assert len(left["because"].split()) > 3
    assert any(_is_left(finding, left) for finding in findings)
