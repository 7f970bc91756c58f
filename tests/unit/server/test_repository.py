from __future__ import annotations

from pathlib import Path

from lipserve.contracts import LEAVES, WAV2LIP_GENERATOR
from lipserve_server import repository


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_assembly_lays_everything_over_the_graphs_and_keeps_them(tmp_path: Path) -> None:
    graph = tmp_path / "wav2lip_generator" / "1" / "model.onnx"
    graph.parent.mkdir(parents=True)
    graph.write_bytes(b"graph")
    repository.assemble(tmp_path)
    assert graph.read_bytes() == b"graph"
    assert set(repository.rendered()) <= set(snapshot(tmp_path))
    assert (tmp_path / "preprocess" / "1" / "model.py").is_file()


def test_assembling_again_writes_nothing(tmp_path: Path) -> None:
    repository.assemble(tmp_path)
    before = snapshot(tmp_path)
    repository.assemble(tmp_path)
    assert snapshot(tmp_path) == before


def test_assembly_mends_what_differs(tmp_path: Path) -> None:
    repository.assemble(tmp_path)
    config = tmp_path / "wav2lip" / "config.pbtxt"
    config.write_text("name: 'old'")
    repository.assemble(tmp_path)
    assert config.read_text() == repository.rendered()["wav2lip/config.pbtxt"]


def test_missing_graphs_are_named(tmp_path: Path) -> None:
    assert repository.missing_leaves(tmp_path) == [model.name for model in LEAVES]
    graph = tmp_path / "face_detector" / "1" / "model.onnx"
    graph.parent.mkdir(parents=True)
    graph.touch()
    assert repository.missing_leaves(tmp_path) == ["face_landmarks", "wav2lip_generator"]


def test_a_stale_file_is_named(tmp_path: Path) -> None:
    repository.assemble(tmp_path)
    assert repository.stale(tmp_path) == []
    (tmp_path / "preprocess" / "configs" / "embedded.pbtxt").write_text("")
    assert repository.stale(tmp_path) == ["preprocess/configs/embedded.pbtxt"]


def test_a_batching_leaf_waits_for_its_batch_as_long_as_the_contract_says() -> None:
    text = repository.config(WAV2LIP_GENERATOR, "tensorrt")
    assert f"max_queue_delay_microseconds: {WAV2LIP_GENERATOR.max_queue_delay_us} " in text
    assert "max_batch_size: 64" in text
