"""A small network that reads the mouth's shape from an image."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from lipserve.quality.lips import MEASURES

_CHANNELS = (3, 16, 32, 64, 64)


class LipReader(nn.Module):
    """Lower halves of face crops, float [B, 3, 48, 96] in 0..1, to standardised lip measures [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(_CHANNELS):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.GroupNorm(4, outputs), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(_CHANNELS[-1] * 3 * 6, len(MEASURES)))

    def forward(self, halves: Tensor) -> Tensor:
        measures: Tensor = self.layers(halves - 0.5)
        return measures
