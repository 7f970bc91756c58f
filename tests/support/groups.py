"""Which files of tests one process runs, for pytest-xdist's --dist=loadgroup."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pytest

SHARED = {
    "server": "server",
    "boxed_server": "server",
    "quality_server": "quality",
    "serving": "pod",
    "pair": "front",
    "podman": "images",
}
"""Session fixtures that start servers or an engine once a run, and the group of the files that call them."""


def groups(items: Iterable[pytest.Item]) -> dict[str, str]:
    """Return the group of every file that has one: the first of SHARED that any of its tests uses."""
    used: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        used[_file(item)] |= set(getattr(item, "fixturenames", ()))
    found = {file: [SHARED[name] for name in SHARED if name in names] for file, names in used.items()}
    return {file: shared[0] for file, shared in found.items() if shared}


def keep_together(items: list[pytest.Item]) -> None:
    """Mark every test with its file's group, else with its file; the largest groups come first."""
    found = groups(items)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(found.get(_file(item), _file(item))))
    order = list(dict.fromkeys(SHARED.values()))
    items.sort(key=lambda item: order.index(found[_file(item)]) if _file(item) in found else len(order))


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
