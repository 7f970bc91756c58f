"""What holds rendered objects to Kubernetes' own schemas, and the values that CI renders the chart with."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
CI_VALUES = sorted((ROOT / "helm/lipserve/ci").glob("*-values.yaml"))
EXAMPLES = sorted((ROOT / "docs/examples").glob("*-values.yaml"))
# Custom resources have no schema in Kubernetes: these are ours, and no other kind is let through.
CRDS = ROOT / "tests/cluster/crds"

Object = dict[str, Any]
Validate = Callable[[Object, str], None]


@pytest.fixture(
    scope="session", params=CI_VALUES + EXAMPLES, ids=lambda path: path.name.removesuffix("-values.yaml")
)
def ci_values_file(request: pytest.FixtureRequest) -> Path:
    """Each file of values of helm/lipserve/ci and docs/examples in turn."""
    path: Path = request.param
    return path


@pytest.fixture(scope="session")
def ci_values(ci_values_file: Path) -> Object:
    """The values of each of those files in turn."""
    values: Object = yaml.safe_load(ci_values_file.read_text())
    return values


@pytest.fixture(scope="session")
def custom_resources() -> dict[tuple[str, str], Any]:
    """Return the validator of each custom resource that the chart may make, by API version and kind."""
    from jsonschema import Draft202012Validator

    schemas = [json.loads(path.read_text()) for path in sorted(CRDS.glob("*.json"))]
    metadata = json.loads((CRDS / "metadata.json").read_text())
    validators = {}
    for schema in schemas:
        if "apiVersion" not in schema["properties"]:
            continue  # what the others refer to
        named, kind = schema["properties"]["apiVersion"], schema["properties"]["kind"]["const"]
        for version in named["enum"] if "enum" in named else [named["const"]]:
            bundled = schema | {"$defs": schema.get("$defs", {}) | {"metadata": metadata}}
            validators[version, kind] = Draft202012Validator(bundled)
    return validators


@pytest.fixture(scope="session")
def validate(custom_resources: dict[tuple[str, str], Any]) -> Iterator[Validate]:
    """Return a function that raises unless an object is valid, strictly, on a Kubernetes ("1.30.0").

    An API that it does not know raises too (SchemaNotFoundError), unless it is among `custom_resources`.
    """
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed: pip install -e '.[dev]'"
    )
    seen: set[str] = set()

    def valid(made: Object, version: str) -> None:
        key = json.dumps([made, version], sort_keys=True)
        if key in seen:
            return
        custom = custom_resources.get((made["apiVersion"], made["kind"]))
        if custom:
            custom.validate(made)
        else:
            kubernetes_validate.validate(made, version, strict=True)
        seen.add(key)

    with pytest.MonkeyPatch.context() as patch:
        # It reads a megabyte of definitions from the disk for every object.
        contents = functools.cache(kubernetes_validate.utils.schema_contents)
        patch.setattr(kubernetes_validate.utils, "schema_contents", contents)
        yield valid
