"""Whatever values the chart takes, its objects are valid and fit each other; what it refuses, it explains."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.cluster.invariants import broken
from tests.cluster.values import changed, changes

CHART = Path(__file__).resolve().parents[3] / "helm/lipserve"
BASES = [{}, *(yaml.safe_load(path.read_text()) for path in sorted(CHART.glob("ci/*-values.yaml")))]
VERSIONS = ["1.29.0", "1.30.0", "1.37.0"]
EXPLAINED = re.compile(r"^[A-Za-z0-9.]+: .+; .+$")

Object = dict[str, Any]
Render = Callable[..., list[Object]]
Validate = Callable[[Object, str], None]

common = settings(
    max_examples=60,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def _refusal(error: Exception) -> list[str]:
    """Return the lines of a refusal of values; any other error is the test's failure."""
    _, found, lines = str(error).partition("These values cannot be installed:\n")
    if not found:
        raise error
    return [line.strip() for line in lines.splitlines() if line.strip()]


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.get("accelerator", {}).get("kind", ""))
def test_values_of_ci_keep_every_invariant(base: Object, render: Render) -> None:
    assert broken(render(base, "talking"), base, "talking") == []


@pytest.mark.slow
def test_values_that_are_taken_give_valid_objects(render: Render, validate: Validate) -> None:
    from helm_python.errors import HelmError

    taken: list[bool] = []

    @common
    @given(st.sampled_from(BASES), changes(4), st.sampled_from(VERSIONS))
    def holds(base: Object, made: list[Any], version: str) -> None:
        values = changed(base, made)
        try:
            objects = render(values, "talking", kube_version=version)
        except HelmError as error:
            objects, unexplained = [], [line for line in _refusal(error) if not EXPLAINED.match(line)]
        else:
            unexplained = []
        assert unexplained == []
        taken.append(bool(objects))
        for one in objects:
            validate(one, version)
        assert broken(objects, values, "talking") == []

    holds()
    # A test of refusals alone would prove little.
    assert sum(taken) > len(taken) / 3
