"""The releases of scenarios.yaml: their values, and the oldest Kubernetes that has what they ask for."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Values = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """One release.

    Attributes:
        since: the oldest Kubernetes, (1, 34) for example.
    """

    name: str
    values: Values
    since: tuple[int, int]

    def runs_on(self, version: str) -> bool:
        """Return whether a Kubernetes ("1.34.0") has what it asks for."""
        return _parsed(version) >= self.since


def load() -> list[Scenario]:
    """Return every scenario, in the file's order."""
    told = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    found = []
    for name, parts in told["cases"].items():
        values: Values = {}
        for part in parts:
            values = laid(values, copy.deepcopy(told["parts"][part] if isinstance(part, str) else part))
        since = max(
            (
                _parsed(told["since"][part])
                for part in parts
                if isinstance(part, str) and part in told["since"]
            ),
            default=(1, 29),
        )
        found.append(Scenario(name, values, since))
    return found


def laid(under: Values, over: Values) -> Values:
    """Return values as Helm merges them: maps key by key, all else as a whole."""
    both = dict(under)
    for key, value in over.items():
        inner = both.get(key)
        both[key] = laid(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return both


def _parsed(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
