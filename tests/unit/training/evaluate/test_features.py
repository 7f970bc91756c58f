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


class Difference(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean((1, 2, 3))


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


def test_own_features_are_the_same_in_every_run_and_tell_blur() -> None:
    first, second = features.OwnFeatures(), features.OwnFeatures()
    here, there = (features.extract(network, FACES) for network in (first, second))
    assert here.shape == (6, 128)
    np.testing.assert_array_equal(here, there)
    grey = np.full_like(FACES, 128)
    assert features.frechet(here, features.extract(first, grey)) > 1e-3


def test_a_users_network_gives_features(tmp_path: Path) -> None:
    network = features.load(scripted(Colours(), tmp_path / "colours.pt"))
    np.testing.assert_allclose(features.extract(network, FACES), FACES.mean((1, 2)) / 255, atol=1e-5)


def test_lpips_takes_both_pictures_in_minus_one_to_one(tmp_path: Path) -> None:
    network = features.load(scripted(Difference(), tmp_path / "lpips.pt"))
    black, white = np.zeros_like(FACES), np.full_like(FACES, 255)
    assert features.lpips(network, black, white) == pytest.approx(2)
    assert features.lpips(network, FACES, FACES) == 0


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
