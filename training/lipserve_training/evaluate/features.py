"""Distances that need a network of features: FID, and LPIPS where a user has its weights.

Networks are the user's TorchScript files. Without one, FID is taken on features of our own, and called so:
its value says nothing beside published ones, only which of two generators is nearer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lipserve.errors import SetupError

SIDE = 224  # pixels of the faces that the networks see
SEED = 1247
OWN = f"own: pooled random convolutions, seed {SEED}"
_CHANNELS = (3, 24, 48, 64)

Images = NDArray[np.uint8]
Features = NDArray[np.float64]


class OwnFeatures(nn.Module):
    """Three seeded random convolutions, mean and deviation of each channel: [B, 128] of [B, 3, H, W]."""

    def __init__(self) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(SEED)
        pairs = pairwise(_CHANNELS)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 7, stride=3, padding=3, bias=False) for a, b in pairs)
        for layer in self.layers:
            assert isinstance(layer, nn.Conv2d)
            weight = torch.randn(layer.weight.shape, generator=source)
            layer.weight.data = weight / weight[0].numel() ** 0.5

    def forward(self, images: Tensor) -> Tensor:
        x = 2 * images - 1
        for layer in self.layers:
            x = nn.functional.leaky_relu(layer(x), 0.1)
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)


def load(path: Path) -> Callable[..., Tensor]:
    """Return a user's TorchScript network, or raise SetupError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch deprecates the form, and still has no other in one file
            network = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError, ValueError) as error:
        raise SetupError(
            f"{path} is no TorchScript network: {str(error).splitlines()[0]}.",
            "Save one: torch.jit.script(network).save(FILE).",
        ) from error
    return _checked(network, path)


def extract(network: Callable[..., Tensor], images: Images) -> Features:
    """Return features [N, D] of faces uint8 [N, 224, 224, 3] RGB; the network sees them as 0..1."""
    with torch.inference_mode():
        out = network(_tensor(images))
    return np.asarray(out.reshape(len(images), -1).double().numpy())


def lpips(network: Callable[..., Tensor], made: Images, true: Images) -> float:
    """Return the mean distance of faces uint8 [N, 224, 224, 3] RGB; the network sees both in -1..1."""
    with torch.inference_mode():
        return float(network(2 * _tensor(made) - 1, 2 * _tensor(true) - 1).mean())


def resize(image: Images) -> Images:
    """Return a face [S, S, 3] as the networks see it, [224, 224, 3]."""
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)


def frechet(a: Features, b: Features) -> float:
    """Return the Fréchet distance of two sets of features [N, D] (FID: Heusel et al., 2017).

    |mean difference|^2 + Tr(A + B - 2 (A B)^(1/2)) of their covariances.
    """
    shift = a.mean(0) - b.mean(0)
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    root = _root(cov_a)
    product = np.linalg.eigvalsh(root @ cov_b @ root).clip(0)
    return float(shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(product).sum())


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(values.clip(0))) @ vectors.T)


def _tensor(images: Images) -> Tensor:
    return torch.from_numpy(images.astype(np.float32).transpose(0, 3, 1, 2)) / 255


@lru_cache
def own() -> OwnFeatures:
    """Return the features of our own."""
    return OwnFeatures().eval().requires_grad_(False)


def _checked(network: Callable[..., Tensor], path: Path) -> Callable[..., Tensor]:
    """Return the network with its errors told as the user's."""

    def run(*images: Tensor) -> Tensor:
        try:
            out = network(*images)
        except (RuntimeError, TypeError) as error:
            raise SetupError(
                f"{path} cannot take faces of {tuple(images[0].shape)}: {str(error).splitlines()[-1]}.",
                "A feature network takes float [N, 3, 224, 224], LPIPS two of them.",
            ) from error
        if not isinstance(out, Tensor) or not torch.isfinite(out).all():
            raise SetupError(f"{path} gave no finite tensor.", "Save a network that returns one tensor.")
        return out

    return run
