"""The motion module: each place of the picture sees itself in the other frames of the window.

Names and shapes are AnimateDiff's (Y. Guo et al., 2023), as the public checkpoints have them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lipserve_export.latentsync.attention import EPSILON, Attention, FeedForward

ATTENTIONS = 2  # per module, both over time


def sinusoids(positions: int, channels: int) -> Tensor:
    """Return sine at even and cosine at odd channels, float32 [1, positions, channels]."""
    rates = torch.exp(torch.arange(0, channels, 2) * (-math.log(10_000.0) / channels))
    angles = torch.arange(positions)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[None]


class PositionalEncoding(nn.Module):
    """Adds to each frame what tells its place in the window; saved with the weights."""

    pe: Tensor

    def __init__(self, channels: int, positions: int) -> None:
        super().__init__()
        self.register_buffer("pe", sinusoids(positions, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, : x.shape[1]]


class TemporalAttention(Attention):
    """Attention of tokens [N, F, C] to each other, which know their places."""

    def __init__(self, channels: int, heads: int, positions: int) -> None:
        super().__init__(channels, heads, channels)
        self.pos_encoder = PositionalEncoding(channels, positions)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        placed = self.pos_encoder(x)
        return super().forward(placed, placed if context is None else context)


class TemporalBlock(nn.Module):
    """Two attentions over time and a feed-forward network, each added to its input."""

    def __init__(self, channels: int, heads: int, positions: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList(
            TemporalAttention(channels, heads, positions) for _ in range(ATTENTIONS)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(ATTENTIONS))
        self.ff = FeedForward(channels)
        self.ff_norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        for attention, norm in zip(self.attention_blocks, self.norms, strict=True):
            x = x + attention(norm(x))
        y: Tensor = x + self.ff(self.ff_norm(x))
        return y


class TemporalTransformer(nn.Module):
    """One TemporalBlock over the frames, at each place of the picture."""

    def __init__(self, channels: int, heads: int, groups: int, positions: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, EPSILON)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(channels, heads, positions)])
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        height, width = x.shape[2:]
        pixels = self.norm(x).flatten(2).unflatten(0, (-1, frames))  # [B, F, C, H*W]
        tokens = self.proj_in(pixels.permute(0, 3, 1, 2).flatten(0, 1))  # [B*H*W, F, C]
        for block in self.transformer_blocks:
            tokens = block(tokens)
        places = self.proj_out(tokens).unflatten(0, (-1, height * width))  # [B, H*W, F, C]
        y: Tensor = x + places.permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, (height, width))
        return y


class MotionModule(nn.Module):
    """TemporalTransformer under the name that the checkpoints give it."""

    def __init__(self, channels: int, heads: int, groups: int, positions: int) -> None:
        super().__init__()
        self.temporal_transformer = TemporalTransformer(channels, heads, groups, positions)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Return [B*F, C, H, W] of x."""
        y: Tensor = self.temporal_transformer(x, frames)
        return y
