from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from lipserve.errors import SetupError
from lipserve_training.evaluate import features

FACES = np.random.default_rng(0).integers(0, 256, (6, 224, 224, 3), dtype=np.uint8)


def exported(path: Path, *nodes: tuple[str, list[str], list[str], dict[str, Any]]) -> Path:
    """Save a graph from `images` to `out`, of nodes (operator, inputs, outputs, attributes)."""
    made = [helper.make_node(kind, takes, gives, **more) for kind, takes, gives, more in nodes]
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        made,
        "features",
        [helper.make_tensor_value_info("images", float32, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("out", float32, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def colours(path: Path) -> Path:
    return exported(path, ("ReduceMean", ["images"], ["out"], {"axes": [2, 3], "keepdims": 0}))


def test_the_frechet_distance_of_normal_sets_is_known() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(0, 1, (200_000, 2))
    b = rng.normal(0, 1, (200_000, 2)) * [2, 3] + [1, 0]
    # |(1, 0)|^2 + (1 - 2)^2 + (1 - 3)^2
    assert features.frechet(a, b) == pytest.approx(6, rel=0.02)
    assert features.frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_the_frechet_distance_knows_correlation() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(0, 1, (200_000, 2))
    mixed = np.stack([x[:, 0], 0.8 * x[:, 0] + 0.6 * x[:, 1]], 1)  # covariance 1, 0.8
    # eigenvalues 1.8 and 0.2: (sqrt 1.8 - 1)^2 + (sqrt 0.2 - 1)^2
    assert features.frechet(mixed, x) == pytest.approx(0.4223, rel=0.03)


def test_a_users_network_gives_features_of_faces_at_its_own_size(tmp_path: Path) -> None:
    network = features.load(colours(tmp_path / "colours.onnx"))
    np.testing.assert_allclose(features.extract(network, FACES), FACES.mean((1, 2)) / 255, atol=1e-4)
    even = np.tile(np.array([10, 20, 250], np.uint8), (2, 96, 96, 1))
    np.testing.assert_allclose(
        features.extract(network, even), np.array([[10, 20, 250]] * 2) / 255, atol=1e-4
    )


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(SetupError, match="not an ONNX network"):
        features.load(path)
    with pytest.raises(SetupError, match="not an ONNX network"):
        features.load(tmp_path / "absent.onnx")


def test_a_program_is_never_run(tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates the form
        torch.jit.script(nn.Identity()).save(str(path))
    with pytest.raises(SetupError, match="not an ONNX network"):
        features.load(path)


def test_a_network_for_other_inputs_is_told_so(tmp_path: Path) -> None:
    network = features.load(colours(tmp_path / "colours.onnx"))
    with pytest.raises(SetupError, match=r"cannot take faces of \(6, 4, 224, 224\)"):
        network(np.zeros((6, 4, 224, 224), np.float32))


def test_a_network_that_gives_no_numbers_is_told_so(tmp_path: Path) -> None:
    network = features.load(exported(tmp_path / "log.onnx", ("Log", ["images"], ["out"], {})))
    with pytest.raises(SetupError, match="no finite rows"):
        features.extract(network, np.zeros_like(FACES))
