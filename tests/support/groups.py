"""Which files of tests one process runs, for pytest-xdist's --dist=loadgroup."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

import pytest

T = TypeVar("T")

SHARED = {
    "server": "server",
    "boxed_server": "server",
    "quality_server": "quality",
    "serving": "pod",
    "pair": "front",
    "podman": "images",
}
"""Session fixtures that start servers or an engine once a run, and the group of the files that call them."""


_running: defaultdict[str, ExitStack] = defaultdict(ExitStack)


@contextmanager
def until_its_group_ends(name: str, context: AbstractContextManager[T]) -> Iterator[T]:
    """Enter what a fixture of SHARED starts: it ends after the last test of the group, not with the session.

    A server without work takes a twentieth of a core, and its memory.
    """
    running = _running[SHARED[name]]
    try:
        yield running.enter_context(context)
    finally:
        running.close()


def end_with(item: pytest.Item, following: pytest.Item | None) -> None:
    """End what runs for the group of a test, if that is the group's last in this process."""
    if following is None or _group(following) != _group(item):
        _running[_group(item)].close()


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


def _group(item: pytest.Item) -> str:
    return str(next(item.iter_markers("xdist_group")).args[0])


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
