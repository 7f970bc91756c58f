"""Tests that share a server run in one process, and no file is split."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import groups as module
from tests.support.groups import SHARED, groups, keep_together

pytest_plugins = ["pytester"]


def test_every_file_is_in_one_group(request: pytest.FixtureRequest) -> None:
    of_file: dict[Path, set[str]] = {}
    for item in request.session.items:
        (group,) = [mark.args[0] for mark in item.iter_markers("xdist_group")]
        of_file.setdefault(item.path, set()).add(group)
    assert all(len(found) == 1 for found in of_file.values())


def test_a_shared_server_has_its_name_for_itself(request: pytest.FixtureRequest) -> None:
    """Files that call another fixture of that name would be in its group."""
    places: dict[str, set[str]] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function):
            for name in SHARED.keys() & item.fixturenames:
                places.setdefault(name, set()).add(item._fixtureinfo.name2fixturedefs[name][-1].baseid)
    assert all(len(found) == 1 for found in places.values()), places


def test_pytest_xdist_has_the_group_in_every_name(request: pytest.FixtureRequest) -> None:
    """It deals tests out by that: without it, every file's servers are started by every process."""
    if not hasattr(request.config, "workerinput"):
        pytest.skip("pytest-xdist does not run this")
    for item in request.session.items:
        assert item.nodeid.endswith("@" + next(item.iter_markers("xdist_group")).args[0])


def test_files_that_call_one_server_are_together_and_first(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import pytest\n@pytest.fixture(scope='session')\ndef server(): pass\n")
    source = {
        "test_a": "def test_alone(): pass",
        "test_b": "import pytest\n@pytest.fixture\ndef c(server): pass\ndef test_it(c): pass\ndef test(): 1",
        "test_c": "def test_too(server): pass",
    }
    items, _ = pytester.inline_genitems(pytester.makepyfile(**source).parent)
    assert groups(items) == {"test_b.py": "server", "test_c.py": "server"}
    keep_together(items)
    found = [next(item.iter_markers("xdist_group")).args[0] for item in items]
    assert found == ["server"] * 3 + ["test_a.py"]


def test_a_shared_server_ends_after_the_last_test_of_its_group(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_running", defaultdict(ExitStack))
    log = pytester.path / "log"
    pytester.makeconftest(
        f"""
import contextlib, pathlib, pytest
from tests.support.groups import end_with, keep_together, until_its_group_ends

def tell(word):
    with open({str(log)!r}, "a") as log: log.write(word + " ")

@contextlib.contextmanager
def running():
    tell("begins")
    yield
    tell("ends")

@pytest.fixture(scope="session")
def server():
    with until_its_group_ends("server", running()) as it: yield it
    tell("session")

@pytest.fixture(autouse=True)
def told(request):
    tell(request.node.name)

def pytest_collection_modifyitems(items): keep_together(items)

@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem): end_with(item, nextitem)
"""
    )
    source = {
        "test_a": "def test_alone(): pass",
        "test_b": "def test_one(server): pass\ndef test_beside(): pass",
        "test_c": "def test_two(server): pass",
    }
    pytester.makepyfile(**source)
    pytester.inline_run("-p", "no:xdist", "--import-mode=importlib").assertoutcome(passed=4)
    assert log.read_text().split() == [
        "begins", "test_one", "test_beside", "test_two", "ends", "test_alone", "session"
    ]  # fmt: skip
