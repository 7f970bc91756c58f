"""A repository of links: what is linked, what is written, and that the store stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipserve.contracts import of_tier
from lipserve.errors import SetupError
from lipserve_server.repository.store import assemble


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store of the fast tier that an embedded server has served before."""
    for model in (model for model in of_tier("wav2lip") if model.kind == "leaf"):
        folder = tmp_path / "store" / model.name / "1"
        (folder / "__pycache__").mkdir(parents=True)
        for name in ("model.onnx", "model.onnx.data", "manifest.json", "model.py"):
            (folder / name).write_text("{}" if name == "manifest.json" else "old")
    return tmp_path / "store"


def test_graphs_are_linked_and_the_rest_is_written(store: Path, tmp_path: Path) -> None:
    made = assemble(store, tmp_path / "work", "embedded")
    assert made.repository == tmp_path / "work/repository"
    assert {model.name for model in made.models} == {model.name for model in of_tier("wav2lip")}
    folder = made.repository / "face_detector" / "1"
    for name in ("model.onnx", "model.onnx.data", "manifest.json"):
        assert (folder / name).readlink() == store / "face_detector" / "1" / name
    assert not (folder / "model.py").is_symlink()
    assert "LeafModel" in (folder / "model.py").read_text()
    assert not (folder / "__pycache__").exists()
    assert (made.repository / "wav2lip" / "config.pbtxt").is_file()


def test_the_store_stays_as_it_is(store: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    assemble(store, tmp_path / "work", "embedded")
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


def test_what_an_earlier_start_left_is_gone(store: Path, tmp_path: Path) -> None:
    stale = tmp_path / "work/repository/face_detector/1/model.plan"
    stale.parent.mkdir(parents=True)
    stale.write_text("of another GPU")
    assemble(store, tmp_path / "work", "embedded")
    assert not stale.exists()


def test_an_incomplete_store_is_named(store: Path, tmp_path: Path) -> None:
    (store / "face_landmarks/1/model.onnx").unlink()
    with pytest.raises(SetupError, match=rf"{store} lacks face_landmarks/1/model\.onnx.*lipserve export all"):
        assemble(store, tmp_path / "work", "embedded")


def test_a_work_directory_that_cannot_be_written_is_named(store: Path, tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file")
    with pytest.raises(SetupError, match=rf"{tmp_path / 'work'} cannot be written.*emptyDir"):
        assemble(store, tmp_path / "work", "embedded")
