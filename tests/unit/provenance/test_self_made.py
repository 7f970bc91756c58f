"""The certificate that LipServe makes by itself."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lipserve.errors import ProvenanceError
from lipserve.provenance.certificate import parse
from lipserve.provenance.self_made import folder, make, self_made


def test_it_is_made_once_and_says_what_it_is(tmp_path: Path) -> None:
    made = self_made(tmp_path / "state")
    assert made.name == "LipServe (self-made, unverified)"
    assert made.self_made
    assert made.algorithm == "ES256"
    assert made.ends - made.begins == timedelta(days=3650)
    assert self_made(tmp_path / "state") == made
    (file,) = (tmp_path / "state").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_damaged_or_expired_one_is_replaced(tmp_path: Path) -> None:
    first = self_made(tmp_path)
    (file,) = tmp_path.iterdir()
    for content in (b"junk", make(datetime.now(UTC) - timedelta(days=9), timedelta(days=3))):
        file.write_bytes(content)
        again = self_made(tmp_path)
        again.check()
        assert again.serial != first.serial
        assert self_made(tmp_path) == again


def test_where_it_cannot_be_kept_each_call_makes_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    one, other = self_made(tmp_path / "file"), self_made(tmp_path / "file")
    one.check()
    assert one.serial != other.serial


def test_an_expired_one_signs_nothing() -> None:
    content = make(datetime.now(UTC) - timedelta(days=9), timedelta(days=3))
    with pytest.raises(ProvenanceError, match="expired"):
        parse(content, content).check()


def test_the_folder_is_the_users_state() -> None:
    assert folder({"XDG_STATE_HOME": "/state"}) == Path("/state/lipserve")
    assert (
        folder({}) == folder({"XDG_STATE_HOME": "relative"}) == Path("~/.local/state/lipserve").expanduser()
    )
