"""FID: the distance of two sets of pictures to a network of features, a user's TorchScript file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipserve.errors import SetupError

SIDE = 224  # pixels of the faces that the networks see

Images = NDArray[np.uint8]
Features = NDArray[np.float64]


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
    """Return features [N, D] of faces uint8 [N, S, S, 3] RGB; the network sees them as 224 pixels in 0..1."""
    resized = np.stack([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for image in images])
    with torch.inference_mode():
        out = network(torch.from_numpy(resized.astype(np.float32).transpose(0, 3, 1, 2)) / 255)
    return np.asarray(out.reshape(len(images), -1).double().numpy())


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


def _checked(network: Callable[..., Tensor], path: Path) -> Callable[..., Tensor]:
    """Return the network with its errors told as the user's."""

    def run(images: Tensor) -> Tensor:
        try:
            out = network(images)
        except (RuntimeError, TypeError) as error:
            raise SetupError(
                f"{path} cannot take faces of {tuple(images.shape)}: {str(error).splitlines()[-1]}.",
                "A feature network takes float [N, 3, 224, 224].",
            ) from error
        if not isinstance(out, Tensor) or not torch.isfinite(out).all():
            raise SetupError(f"{path} gave no finite tensor.", "Save a network that returns one tensor.")
        return out

    return run
