from __future__ import annotations

import time
import zipfile
from pathlib import Path

import pytest

from lipserve.errors import SetupError
from lipserve_export.fetch.files import FACE_MESH, cache_folder, from_wheel, mediapipe_wheel


def silent(line: str) -> None:
    pass


def test_a_file_of_another_digest_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "mediapipe-0.10.21-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(FACE_MESH.name, b"something else")
    with pytest.raises(SetupError, match=rf"sha256 is \w+, not {FACE_MESH.sha256}"):
        from_wheel(wheel, FACE_MESH)


@pytest.mark.parametrize("kind", ["text", "other wheel", "absent", "folder"])
def test_a_file_that_is_no_mediapipe_wheel_is_refused(tmp_path: Path, kind: str) -> None:
    wheel = tmp_path / "a.whl"
    if kind == "text":
        wheel.write_text("not a zip")
    elif kind == "other wheel":
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("numpy/__init__.py", "")
    elif kind == "folder":
        wheel.mkdir()
    with pytest.raises(SetupError, match=r"a\.whl") as caught:
        from_wheel(wheel, FACE_MESH)
    assert "--mediapipe" in caught.value.remedy


def test_the_wheel_in_the_cache_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = cache_folder() / "mediapipe-0.10.21-cp311-cp311-any.whl"
    cached.parent.mkdir()
    cached.write_bytes(b"")
    assert mediapipe_wheel(None, silent) == cached
    given = tmp_path / "mine.whl"
    assert mediapipe_wheel(given, silent) == given


def test_without_a_network_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    began = time.monotonic()
    with pytest.raises(SetupError, match="could not be downloaded") as caught:
        mediapipe_wheel(None, silent)
    assert "pip download --no-deps mediapipe==0.10.21" in caught.value.remedy
    assert time.monotonic() - began < 20
