"""The network that says how a face's own pixels become the wanted mouth."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (24, 48, 64, 96)
INPUTS = 8  # channels: the current mouth, the remembered one (RGB, both moved already), two lip masks
FARTHEST = 6.0  # pixels of the mouth crop that a flow is corrected by at most


class LipRenderer(nn.Module):
    """A U-Net that works at half resolution.

    `forward` takes float [B, 8, S, S], -1..1, and returns

    - FLOW [B, 4, S/2, S/2]: what to add to the flow of the current picture (x, y) and of the remembered ones;
    - BLEND [B, 2, S, S], 0..1: the share of the remembered mouth beside the current picture, then the share
      of paint over both;
    - PAINT [B, 3, S/2, S/2], 0..1, RGB.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        channels, self.encoder = 4 * INPUTS, nn.ModuleList()
        for level, width in enumerate(widths):
            first = _layer(channels, width, 2 if level else 1)
            self.encoder.append(nn.Sequential(first, _layer(width, width)) if level else first)
            channels = width
        self.decoder = nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.decoder.append(_layer(channels + width, width))
            channels = width
        self.head = nn.Conv2d(channels, 4 + 4 * 2 + 3, 3, padding=1)
        self.head.weight.data *= 0.1
        bias = torch.zeros(4 + 4 * 2 + 3)
        bias[4:8] = -1.0  # at first little memory ...
        bias[8:12] = -3.0  # ... and hardly any paint
        self.head.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = functional.pixel_unshuffle(x, 2)
        skips = []
        for encode in self.encoder:
            x = encode(x)
            skips.append(x)
        for decode, skip in zip(self.decoder, reversed(skips[:-1]), strict=True):
            x = decode(torch.cat((functional.interpolate(x, scale_factor=2.0, mode="nearest"), skip), 1))
        out = self.head(x)
        blend = torch.sigmoid(functional.pixel_shuffle(out[:, 4:12], 2))
        return FARTHEST * torch.tanh(out[:, :4]), blend, torch.sigmoid(out[:, 12:])


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
