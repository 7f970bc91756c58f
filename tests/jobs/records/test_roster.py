"""Tenants whose file changes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lipserve.errors import SetupError
from lipserve_jobs.records import roster
from lipserve_jobs.records.roster import Roster


def _write(path: Path, *names: str) -> None:
    lines = [f"  - {{name: {name}, keys: [{hashlib.sha256(name.encode()).hexdigest()}]}}\n" for name in names]
    beside = path.with_suffix(".new")
    beside.write_text("tenants:\n" + "".join(lines))
    beside.replace(path)


def test_a_changed_file_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "LOOK_SECONDS", 0.0)
    path = tmp_path / "tenants.yaml"
    _write(path, "acme")
    found = Roster(path)
    assert found.by_key("beta") is None
    _write(path, "acme", "beta")
    tenant = found.by_key("beta")
    assert tenant is not None
    assert tenant.name == "beta"


def test_a_damaged_or_missing_file_leaves_the_last_tenants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "LOOK_SECONDS", 0.0)
    path = tmp_path / "tenants.yaml"
    _write(path, "acme")
    found = Roster(path)
    path.write_text("tenants: [")
    assert found.by_key("acme") is not None
    path.unlink()
    assert found.by_key("acme") is not None


def test_a_file_that_cannot_be_read_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        Roster(tmp_path / "none.yaml")
    assert Roster(None).now.tenants == ()
