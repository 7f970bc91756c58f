"""Linters are content with the chart, its schema, the Dockerfiles and the compose file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "helm/lipserve"
BIN = Path(sys.executable).parent
FOLDERS = ("helm/lipserve/ci", "helm/lipserve/files", "docker", "docs", "tests/cluster")
FILES = [path for folder in FOLDERS for end in ("yaml", "yml") for path in (ROOT / folder).rglob(f"*.{end}")]
YAML = [p.relative_to(ROOT) for p in (CHART / "Chart.yaml", CHART / "values.yaml", *sorted(FILES))]


def _run(program: str, *arguments: str | Path) -> str:
    """Return what a program that has to succeed tells."""
    if not (BIN / program).is_file():
        pytest.skip(f"{program} is not installed: pip install -e '.[dev]'")
    command = [BIN / program, *arguments]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def test_helm_lint_finds_nothing(ci_values: dict[str, Any]) -> None:
    helm = pytest.importorskip(
        "helm_python", reason="helm-python-sdk is not installed: pip install -e '.[dev]'"
    )
    report = helm.lint(CHART, ci_values, strict=True, namespace="lipserve", kube_version="v1.32.0")
    assert report["total_charts_linted"] == 1
    assert report["errors"] == []
    # Told of every chart without a picture, and of no interest.
    assert [m for m in report["messages"] if "icon is recommended" not in m["error"]] == []


def test_yamllint_finds_nothing() -> None:
    assert len(YAML) > 10
    assert _run("yamllint", "--strict", "--format", "parsable", *YAML) == ""


@pytest.mark.parametrize(
    "dockerfile", sorted((ROOT / "docker").glob("*.Dockerfile")), ids=lambda path: path.name
)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    assert json.loads(_run("hadolint", "--no-color", "--format", "json", dockerfile)) == []


def test_the_schema_of_values_is_a_schema() -> None:
    _run("check-jsonschema", "--check-metaschema", CHART / "values.schema.json")


def test_the_schemas_of_custom_resources_are_schemas() -> None:
    _run("check-jsonschema", "--check-metaschema", *sorted((ROOT / "tests/cluster/crds").glob("*.json")))


def test_the_compose_file_keeps_to_its_specification() -> None:
    _run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "docker/compose.yaml")


def test_values_of_ci_keep_to_the_schema_by_themselves(ci_values_file: Path) -> None:
    _run("check-jsonschema", "--schemafile", CHART / "values.schema.json", ci_values_file)


def _open(schema: Any, path: str = "") -> Iterator[str]:
    """Give the path of every object of a schema that lets unknown keys through."""
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("additionalProperties") is not False:
            yield path
        for key, part in schema.items():
            yield from _open(part, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from _open(part, f"{path}/{index}")


def test_no_object_of_the_schema_takes_unknown_keys() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert list(_open(schema)) == []


def _undocumented(schema: dict[str, Any], values: Any, path: str = "") -> Iterator[str]:
    """Give every key that the schema takes and values.yaml does not show."""
    for key, part in schema.get("properties", {}).items():
        if not isinstance(values, dict) or key not in values:
            yield f"{path}{key}"
        else:
            yield from _undocumented(part, values[key], f"{path}{key}.")


def test_every_key_of_the_schema_is_shown_in_values() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    # What is inside of an affinity is Kubernetes' own.
    assert [key for key in _undocumented(schema, values) if "affinity." not in key] == []
