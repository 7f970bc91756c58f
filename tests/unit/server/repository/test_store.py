"""A repository of links: what is linked, what is written, and that the store stays as it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from lipserve.contracts import Form, Profile, of_tier
from lipserve.errors import SetupError
from lipserve_server.repository.store import assemble


def account(*names: str) -> str:
    """Return the manifest of graphs that all say `old`."""
    digest = hashlib.sha256(b"old").hexdigest()
    return json.dumps({"files": [{"name": name, "precision": "fp32", "sha256": digest} for name in names]})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store of the fast tier that an embedded server has served before."""
    for model in (model for model in of_tier("wav2lip") if model.kind == "leaf"):
        folder = tmp_path / "store" / model.name / "1"
        (folder / "__pycache__").mkdir(parents=True)
        for name in ("model.onnx", "model.onnx.data", "model.py"):
            (folder / name).write_text("old")
        (folder / "manifest.json").write_text(account("model.onnx", "model.onnx.data"))
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


def test_a_network_that_a_user_supplied_is_linked_too(store: Path, tmp_path: Path) -> None:
    for model in (model for model in of_tier("latentsync", Form(landmarks="106")) if model.kind == "leaf"):
        folder = store / model.name / "1"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_text("old")
        (folder / "manifest.json").write_text(account("model.onnx"))
    made = assemble(store, tmp_path / "work", "embedded")
    assert "face_landmarks_106" in {model.name for model in made.models}
    folder = made.repository / "face_landmarks_106" / "1"
    assert (folder / "model.onnx").readlink() == store / "face_landmarks_106" / "1" / "model.onnx"
    assert "LeafModel" in (folder / "model.py").read_text()


def test_the_store_stays_as_it_is(store: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    assemble(store, tmp_path / "work", "embedded")
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


def test_files_of_an_earlier_start_are_removed(store: Path, tmp_path: Path) -> None:
    stale = tmp_path / "work/repository/face_detector/1/model.plan"
    stale.parent.mkdir(parents=True)
    stale.write_text("of another GPU")
    assemble(store, tmp_path / "work", "embedded")
    assert not stale.exists()


def test_an_incomplete_store_is_named(store: Path, tmp_path: Path) -> None:
    (store / "face_landmarks/1/model.onnx").unlink()
    with pytest.raises(SetupError, match=rf"{store} lacks face_landmarks/1/model\.onnx.*lipserve export all"):
        assemble(store, tmp_path / "work", "embedded")


@pytest.mark.parametrize("profile", ["embedded", "onnx"])
@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data"])
def test_a_graph_that_is_not_its_manifests_is_named(
    store: Path, tmp_path: Path, profile: Profile, name: str
) -> None:
    damaged = store / "face_landmarks/1" / name
    damaged.write_text("olf")
    with pytest.raises(SetupError, match=rf"{damaged} is damaged.*lipserve export all -o {store}"):
        assemble(store, tmp_path / "work", profile)


def test_a_work_directory_that_cannot_be_written_is_named(store: Path, tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file")
    with pytest.raises(SetupError, match=rf"{tmp_path / 'work'} cannot be written.*emptyDir"):
        assemble(store, tmp_path / "work", "embedded")
