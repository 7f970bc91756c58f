"""Helm reads every number as a float: none may come out as 5e+06, which Kubernetes takes for text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.scenarios import load
from tests.cluster.values import _resolved, changed, leaves

CI = Path(__file__).resolve().parents[3] / "helm/lipserve/ci"
LARGE = 5_000_000
# Between them they have every object that a number of the values stands in.
BASES = [
    {},
    yaml.safe_load((CI / "full-values.yaml").read_text()),
    *(one.values for one in load() if one.name == "gke-hpa"),
]
JOBS = [yaml.safe_load((CI / f"{name}-values.yaml").read_text()) for name in ("jobs", "jobs-identity")]

Object = dict[str, Any]


def whole(schema: Object) -> Object | None:
    """Return the part of a schema that takes whole numbers, None where there is none."""
    schema = _resolved(schema)
    kinds = schema.get("type", [])
    if "integer" in ([kinds] if isinstance(kinds, str) else kinds):
        return schema
    return next((found for part in schema.get("anyOf", []) if (found := whole(part))), None)


NUMBERS = {path: found.get("maximum", LARGE) for path, schema in leaves() if (found := whole(schema))}


def test_there_are_as_many_as_the_values_have() -> None:
    assert len(NUMBERS) >= 60


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=".".join(path), marks=[] if place % 4 == 0 else pytest.mark.whole)
        for place, path in enumerate(NUMBERS)
    ],
)
def test_the_largest_number_is_written_in_digits(
    render_files: Callable[..., dict[str, str]], path: tuple[str, ...]
) -> None:
    from helm_python.errors import HelmError

    written = []
    for base in JOBS if path[0] == "jobs" else BASES:
        try:
            files = render_files(changed(base, [(path, NUMBERS[path])]))
        except HelmError:
            continue  # too large for another value, which the refusal names
        texts = [text for name, text in files.items() if "dashboards" not in name and "rule" not in name]
        written += [line for text in texts for line in text.splitlines() if re.search(r"\d[eE]\+\d", line)]
    assert written == []
