from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lipserve.errors import SetupError
from lipserve_training.evaluate import features

FACES = np.random.default_rng(0).integers(0, 256, (6, 224, 224, 3), dtype=np.uint8)


class Colours(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


def scripted(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates the form
        torch.jit.script(network).save(str(path))
    return path


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
    network = features.load(scripted(Colours(), tmp_path / "colours.pt"))
    np.testing.assert_allclose(features.extract(network, FACES), FACES.mean((1, 2)) / 255, atol=1e-5)
    even = np.tile(np.array([10, 20, 250], np.uint8), (2, 96, 96, 1))
    np.testing.assert_allclose(
        features.extract(network, even), np.array([[10, 20, 250]] * 2) / 255, atol=1e-5
    )


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not a network")
    with pytest.raises(SetupError, match="no TorchScript network"):
        features.load(path)
    with pytest.raises(SetupError, match="no TorchScript network"):
        features.load(tmp_path / "absent.pt")


def test_a_network_for_other_inputs_is_told_so(tmp_path: Path) -> None:
    network = features.load(scripted(nn.Linear(7, 2), tmp_path / "linear.pt"))
    with pytest.raises(SetupError, match=r"cannot take faces of \(6, 3, 224, 224\)"):
        features.extract(network, FACES)
