"""Residual blocks of UNet3D, the timestep that they are told, and resampling.

Between layers, activations are [B*F, C, H, W], frames folded into the batch: what every convolution and
every transformer takes. `spread` and `folded` go to [B, C, F, H, W] and back.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5  # norm_eps of the published configuration; the transformers' norms have 1e-6


def spread(x: Tensor, frames: int) -> Tensor:
    """Return [B*F, C, H, W] as [B, C, F, H, W]."""
    return torch.unflatten(x, 0, (-1, frames)).transpose(1, 2)


def folded(x: Tensor) -> Tensor:
    """Return [B, C, F, H, W] as [B*F, C, H, W]."""
    return x.transpose(1, 2).flatten(0, 1)


class TimeEmbedding(nn.Module):
    """Timesteps [B] to [B, E]: cosines and sines in float32, then two linear layers."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.rates = channels // 2
        self.linear_1 = nn.Linear(channels, embedding)
        self.linear_2 = nn.Linear(embedding, embedding)

    def forward(self, timestep: Tensor) -> Tensor:
        numbers = torch.arange(self.rates, dtype=torch.float32, device=timestep.device)
        angles = timestep.float()[:, None] * torch.exp(numbers * (-math.log(10_000.0) / self.rates))
        waves = torch.cat((angles.cos(), angles.sin()), dim=-1).to(self.linear_1.weight.dtype)
        y: Tensor = self.linear_2(functional.silu(self.linear_1(waves)))
        return y


class ResnetBlock(nn.Module):
    """Two convolutions, each after a GroupNorm that takes its statistics over all frames together."""

    def __init__(self, inputs: int, outputs: int, embedding: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, EPSILON)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(embedding, outputs)
        self.norm2 = nn.GroupNorm(groups, outputs, EPSILON)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor, embedding: Tensor, frames: int) -> Tensor:
        """Return [B*F, outputs, H, W] of x [B*F, inputs, H, W] and the timestep's embedding [B, E]."""
        y = folded(functional.silu(self.norm1(spread(x, frames))))
        moment = self.time_emb_proj(functional.silu(embedding))
        y = spread(self.conv1(y), frames) + moment[:, :, None, None, None]
        y = self.conv2(folded(functional.silu(self.norm2(y))))
        total: Tensor = y + (x if self.conv_shortcut is None else self.conv_shortcut(x))
        return total


class Downsample(nn.Module):
    """A convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


class Upsample(nn.Module):
    """The nearest pixel at twice the height and width, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return y
