"""What a network that was taught by people sees of a difference, as a loss: ST-LPIPS of its first stages."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipserve.errors import SetupError
from lipserve_training.models import lpips

STAGES = 3  # of the five: up to relu3_3; the later ones see less of a mouth and cost as much again


class Perceptual(nn.Module):
    """The distance of pictures, averaged under a weight. It is frozen, its inputs are not."""

    def __init__(self, network: lpips.Lpips) -> None:
        super().__init__()
        self._network = network

    def forward(self, made: Tensor, true: Tensor, weight: Tensor) -> Tensor:
        """Return one number for pictures float [N, 3, H, W] RGB in 0..1 under a weight [N, 1, H, W]."""
        a, b = self._scaled(made), self._scaled(true.detach())
        total = torch.zeros((), device=made.device)
        for number, stage in enumerate(list(self._network.net.children())[:STAGES]):
            a, b = stage(a), stage(b)
            head = self._network.get_submodule(f"lin{number}.model")
            unlike = head((_unit(a.float()) - _unit(b.float())) ** 2)
            share = functional.interpolate(weight, unlike.shape[2:], mode="area")
            total = total + (unlike.float() * share).sum() / share.sum()
        return total

    def _scaled(self, pictures: Tensor) -> Tensor:
        layer = self._network.scaling_layer
        return (pictures * 2 - 1 - layer.get_buffer("shift")) / layer.get_buffer("scale")


def load() -> Perceptual:
    """Return the distance with its published weights.

    Raises:
        SetupError: the package that brings them is not installed, or is damaged.
    """
    path = lpips.weights()
    if path is None:
        raise SetupError(
            f"losses.perceptual needs the package {lpips.PACKAGE}, which is not installed.",
            "Install it: pip install 'lipserve[training]'; or train without it: losses.perceptual = 0.",
        )
    return Perceptual(lpips.load(path))


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True) + 1e-10).sqrt()
