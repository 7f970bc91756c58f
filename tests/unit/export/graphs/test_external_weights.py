from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from lipserve.errors import SetupError
from lipserve_export.fetch.files import file_sha256
from lipserve_export.graphs import manifest
from lipserve_export.graphs.runtime import run, session

ACCOUNT = manifest.Manifest(
    model="vae_encoder", weights="none", variant="v", parameters=1, macs=1, resolution=256, channels=16
)


def graph(fill: float) -> ir.Model:
    """X + weights, which are large enough to lie outside, reshaped by a shape that is not."""
    weight = np.full((64, 32), fill, np.float32)
    named = {"weight": weight, "shape": np.array([-1, 2048], np.int64)}
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in named.items()]
    nodes = [
        onnx.helper.make_node("Add", ["X", "weight"], ["sum"]),
        onnx.helper.make_node("Reshape", ["sum", "shape"], ["Y"]),
    ]
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", *dims])
        for name, dims in (("X", (64, 32)), ("Y", (2048,)))
    ]
    made = onnx.helper.make_graph(nodes, "graph", values[:1], values[1:], constants)
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    return ir.from_proto(model)


def test_weights_lie_beside_their_graph_and_both_are_accounted_for(tmp_path: Path) -> None:
    target = manifest.write(tmp_path, ACCOUNT, {"fp32": graph(1.5)})
    assert sorted(path.name for path in target.iterdir()) == [
        "manifest.json", "model.onnx", "model.onnx.data",
    ]  # fmt: skip
    assert (target / "model.onnx").stat().st_size < 2000
    read = manifest.read(tmp_path, "vae_encoder")
    assert [file.name for file in read.files] == ["model.onnx", "model.onnx.data"]
    assert all(file_sha256(target / file.name) == file.sha256 for file in read.files)
    assert list(read.graphs.values()) == [read.files[0]]
    assert (read.form.resolution, read.form.channels) == (256, 16)
    x = np.ones((3, 64, 32), np.float32)
    np.testing.assert_array_equal(run(session(target / "model.onnx"), {"X": x})["Y"], np.full((3, 2048), 2.5))


def test_other_weights_make_another_graph_so_that_its_plans_are_stale(tmp_path: Path) -> None:
    digests = []
    for fill in (1.5, 1.5, 2.5):
        target = manifest.write(tmp_path, ACCOUNT, {"fp32": graph(fill)})
        digests.append(file_sha256(target / "model.onnx"))
    assert digests[0] == digests[1] != digests[2]


def test_the_graph_that_was_given_still_has_its_weights(tmp_path: Path) -> None:
    given = graph(0.5)
    manifest.write(tmp_path, ACCOUNT, {"fp32": given})
    (manifest.folder(tmp_path, "vae_encoder") / "model.onnx.data").unlink()
    weight = given.graph.initializers["weight"].const_value
    assert weight is not None
    np.testing.assert_array_equal(weight.numpy(), np.full((64, 32), 0.5))


def test_a_graph_that_does_not_hold_leaves_nothing_behind(tmp_path: Path) -> None:
    broken = graph(1.0)
    broken.graph[0].op_type = "NoSuchOperator"
    with pytest.raises(onnx.checker.ValidationError):
        manifest.write(tmp_path, ACCOUNT, {"fp32": broken})
    assert list(manifest.folder(tmp_path, "vae_encoder").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot be written"):
        manifest.write(tmp_path / "file", ACCOUNT, {"fp32": graph(1.0)})
