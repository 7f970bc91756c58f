"""Prometheus' text format: reading Triton's page, writing the pod's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Sample:
    name: str
    labels: Mapping[str, str]
    value: float


def parse(page: str) -> list[Sample]:
    """Return the samples of a page whose labels hold no closing brace: Triton's and the stages' own."""
    samples = []
    for line in page.splitlines():
        match = _SAMPLE.match(line)
        if match is not None:
            labels = dict(_LABEL.findall(match["labels"] or ""))
            samples.append(Sample(match["name"], labels, float(match["value"])))
    return samples


@dataclass
class Family:
    """One metric of a page: its values by their labels."""

    name: str
    kind: Literal["gauge", "counter"]
    description: str
    values: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def set(self, value: float, **labels: str) -> Family:
        """Add a series."""
        self.values.append((labels, value))
        return self


def render(families: Iterable[Family]) -> str:
    """Return the page of `families`."""
    lines = []
    for family in families:
        lines += [
            f"# HELP {family.name} {family.description}",
            f"# TYPE {family.name} {family.kind}",
        ]
        lines += [f"{family.name}{_labels(labels)} {value:.17g}" for labels, value in family.values]
    return "\n".join([*lines, ""])


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = {name: value.replace("\\", r"\\").replace('"', r"\"") for name, value in labels.items()}
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"
