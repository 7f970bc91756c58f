from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from lipserve.errors import SetupError
from lipserve_server.repository.integrity import check_graphs


def told(name: str, content: bytes, precision: str = "fp32") -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"name": name, "precision": precision, "sha256": digest, "bytes": len(content)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One leaf, both precisions; its weights lie apart."""
    made = tmp_path / "denoise_step" / "1"
    made.mkdir(parents=True)
    files = []
    for name, content in (
        ("model.onnx", b"graph"),
        ("model.onnx.data", b"weights"),
        ("model.fp16.onnx", b"half"),
    ):
        (made / name).write_bytes(content)
        files.append(told(name, content, "fp16" if "fp16" in name else "fp32"))
    (made / "manifest.json").write_text(json.dumps({"weights": "x", "files": files}))
    return made


def test_intact_graphs_are_accepted(folder: Path) -> None:
    check_graphs(folder.parents[1], ["denoise_step"])


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data"])
@pytest.mark.parametrize("place", [0, -1])
def test_one_flipped_bit_names_the_file_and_both_digests(folder: Path, name: str, place: int) -> None:
    content = bytearray((folder / name).read_bytes())
    content[place] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(SetupError) as caught:
        check_graphs(folder.parents[1], ["denoise_step"])
    assert f"{folder / name} is damaged, or of another export" in caught.value.message
    assert hashlib.sha256(content).hexdigest() in caught.value.message
    assert f"lipserve export all -o {folder.parents[1]}" in caught.value.remedy


def test_a_file_that_is_not_loaded_is_not_read(folder: Path) -> None:
    (folder / "model.fp16.onnx").write_bytes(b"damaged")
    check_graphs(folder.parents[1], ["denoise_step"])


def test_a_file_that_is_gone_is_named(folder: Path) -> None:
    (folder / "model.onnx.data").unlink()
    with pytest.raises(SetupError, match=r"model\.onnx\.data cannot be read: No such file"):
        check_graphs(folder.parents[1], ["denoise_step"])


@pytest.mark.parametrize(
    "text", [None, "{}", '{"weights": "x", "files": []}', "[]", "\x00", '{"files": [1]}']
)
def test_a_graph_that_nothing_tells_of_is_refused(folder: Path, text: str | None) -> None:
    manifest = folder / "manifest.json"
    if text is None:
        manifest.unlink()
    else:
        manifest.write_text(text)
    with pytest.raises(SetupError, match=rf"{manifest} (cannot be read|is missing)"):
        check_graphs(folder.parents[1], ["denoise_step"])
