"""values.yaml and docs/operations/kubernetes.md say what the chart is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "helm/lipserve"

Schema = dict[str, Any]


def keys(values: Any, path: str = "") -> set[str]:
    """Return the paths of a document's keys; maps that are empty count as leaves."""
    if not isinstance(values, dict):
        return set()
    found = {f"{path}{key}" for key in values}
    return found.union(*(keys(value, f"{path}{key}.") for key, value in values.items()))


def declared(schema: Schema, definitions: Schema, path: str = "") -> set[str]:
    schema = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    properties = schema.get("properties", {})
    found = {f"{path}{key}" for key in properties}
    return found.union(*(declared(made, definitions, f"{path}{key}.") for key, made in properties.items()))


def test_the_schema_and_the_values_have_the_same_keys() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    # What a resource list or a peer may hold is not a default.
    optional = re.compile(r"\.(requests|limits)\.|\.(requests|limits)$|\.ephemeral-storage$|(^|\.)affinity\.")
    missing = declared(schema, schema["definitions"]) - keys(values)
    assert sorted(key for key in missing if not optional.search(key)) == []
    free = re.compile(r"\.annotations\.|[lL]abels\.|matchLabels")
    unknown = keys(values) - declared(schema, schema["definitions"])
    assert sorted(key for key in unknown if not free.search(key)) == []


def test_every_object_of_the_schema_is_closed() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    # Kubernetes' own objects, and maps of strings, are not ours to list.
    free = {"kubernetesObject", "strings"}

    def walk(made: Any, where: str) -> list[str]:
        if isinstance(made, list):
            return [found for item in made for found in walk(item, where)]
        if not isinstance(made, dict):
            return []
        here = [where] if made.get("type") == "object" and "additionalProperties" not in made else []
        return here + [found for key, value in made.items() for found in walk(value, f"{where}.{key}")]

    open_objects = [path for path in walk(schema, "") if path.rpartition(".")[2] not in free]
    assert open_objects == []


def explained(lines: list[str], number: int) -> bool:
    """Return whether a comment tells of a line's key: above it, below it, or of the group it stands in."""
    indent = len(lines[number]) - len(lines[number].lstrip())
    if "#" in lines[number] or (number + 1 < len(lines) and lines[number + 1].lstrip().startswith("#")):
        return True
    while number > 0 and lines[number - 1].strip():
        number -= 1
        line = lines[number]
        depth = len(line) - len(line.lstrip())
        if line.lstrip().startswith("#") and depth <= indent:
            return True
        if depth < indent and not line.lstrip().startswith("-"):
            return explained(lines, number)
    return False


def test_every_key_of_the_values_is_explained() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    silent = [
        f"{number + 1}: {line.strip()}"
        for number, line in enumerate(lines)
        if re.match(r" *[A-Za-z0-9]+:", line) and not explained(lines, number)
    ]
    assert silent == []


def test_the_values_file_of_a100_mode_is_the_one_that_is_tested() -> None:
    guide = (ROOT / "docs/operations/kubernetes.md").read_text()
    section = guide[guide.index("## A100 mode") :]
    (shown,) = re.findall(r"```yaml\n(.*?)```", section[: section.index("\n## ")], re.DOTALL)
    assert shown == (CHART / "ci/a100-values.yaml").read_text()


def test_the_one_command_of_cpu_mode_sets_what_its_values_file_sets() -> None:
    guide = (ROOT / "docs/operations/kubernetes.md").read_text()
    section = guide[guide.index("## CPU mode") :]
    command = section[: section.index("```\n")]
    tested = yaml.safe_load((CHART / "ci/cpu-values.yaml").read_text())
    assert tested == {"profile": "onnx", "store": {"export": {"enabled": True}}}
    assert "--set global.imageRegistry=registry.example.com/team --set store.export.enabled=true" in section
    assert command.count("--set") <= 2


def test_the_refusals_that_the_guide_shows_are_what_is_said(render_error: Callable[[Schema], str]) -> None:
    guide = (ROOT / "docs/operations/kubernetes.md").read_text()
    (shown,) = re.findall(r"```\n(These values cannot be installed:\n.*?)```", guide, re.DOTALL)
    assert shown.strip() in render_error(
        {"profile": "tensorrt", "store": {"kind": "s3", "s3": {"bucket": "models"}}}
    )
