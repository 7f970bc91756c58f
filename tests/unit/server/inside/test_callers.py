"""A stage sees that a caller has gone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from lipserve_server.inside.callers import VARIABLE, Callers, waits


def test_a_caller_waits_until_he_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    callers = Callers(tmp_path / "callers")
    monkeypatch.setenv(VARIABLE, str(callers.folder))
    one, other = callers.enter(), callers.enter()
    assert waits(one)
    callers.leave(one)
    callers.leave(one)
    assert (waits(one), waits(other)) == (False, True)
    assert stat.S_IMODE(callers.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["", "../callers", "a/b"])
def test_what_is_no_name_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(VARIABLE, str(Callers(tmp_path / "callers").folder))
    assert waits(name)


def test_without_a_guard_everybody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert waits("abc")
