"""Every refusal of the chart that its templates write tells the key, what is wrong, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TEMPLATES = Path(__file__).resolve().parents[3] / "helm/lipserve/templates"

# One of each kind that an operator is likely to write; chart/ and front/ have a case for every line.
REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"lifecycle": {"terminationGracePeriodSeconds": 100}},
        "lifecycle.terminationGracePeriodSeconds: 100 s kill a pod that drains for 15 s before and 130 s "
        "after SIGTERM; give 150 or more, or null",
    ),
    (
        {"lifecycle": {"longestSegmentSeconds": 300, "exitTimeoutSeconds": 60}},
        "lifecycle.exitTimeoutSeconds: 60 s ends segments of 300 s that were accepted one behind another; "
        "give 610 or null",
    ),
    ({"accelerator": {"kind": "a100"}}, "value must be one of 'none', 'gpu', 'mig', 'timeslice'"),
    (
        {"replicas": 0},
        "podDisruptionBudget.enabled: there is nothing to protect with replicas 0; set it to false, or "
        "replicas to 1 or more",
    ),
    (
        {"store": {"kind": "s3", "s3": {"bucket": "models"}}},
        "store.s3: there are no credentials; name existingSecret (with AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY), or set workloadIdentity to true",
    ),
    (
        {"autoscaling": {"mode": "hpa", "minReplicas": 0}},
        "autoscaling.minReplicas: an HPA does not scale to zero; give 1 or more, or the mode keda",
    ),
    (
        {"autoscaling": {"mode": "keda", "minReplicas": 0}},
        "autoscaling.minReplicas: without pods nothing tells of demand; set envoy.enabled (it counts calls "
        "that find no pod), name a queue in autoscaling.extraTriggers, or give 1",
    ),
]


@pytest.mark.parametrize(("values", "line"), REFUSED, ids=[next(iter(values)) for values, _ in REFUSED])
def test_likely_mistakes_are_explained(
    render_error: Callable[[dict[str, Any]], str], values: dict[str, Any], line: str
) -> None:
    assert line in render_error(values)


def test_every_refusal_says_what_to_do() -> None:
    lines = [
        line
        for template in TEMPLATES.glob("**/*.tpl")
        for section in re.findall(
            r'define "lipserve\.validate\.\w+".*?(?=define |\Z)', template.read_text(), re.S
        )
        for line in section.splitlines()
        if line and not line.startswith(("define ", "{{-", "{{/*", "{{ include", " "))
    ]
    assert len(lines) >= 60
    assert [line for line in lines if not re.match(r"^[\w.{}$ ]+: .+; .+$", line)] == []
