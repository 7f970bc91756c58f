"""Whisper's audio encoder, tiny, with the states that LatentSync and the lip motion listen to.

A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022). The names of the
sub-modules are those of OpenAI's checkpoints without `encoder.`. Their `ln_post` is left out: LatentSync
takes the states before it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipserve.contracts import MEL_BINS
from lipserve.contracts.latentsync import AUDIO_WIDTH, WHISPER_ROWS, WHISPER_STATES
from lipserve.contracts.lipwarp import ROWS, STATES

_HEADS = 6


class Attention(nn.Module):
    """Self-attention over all rows; the key's projection has no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (self._split(project(x)) for project in (self.query, self.key, self.value))
        scale = query.shape[-1] ** -0.25  # on either side, so that no product leaves half precision
        weights = torch.softmax((query * scale) @ (key * scale).transpose(-2, -1), dim=-1)
        y: Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return y

    def _split(self, x: Tensor) -> Tensor:
        batch, rows, width = x.shape
        return x.reshape(batch, rows, self.heads, width // self.heads).transpose(1, 2)


class Block(nn.Module):
    """A residual block: attention, then a perceptron, each after its LayerNorm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = Attention(width, heads)
        self.attn_ln = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.mlp_ln = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.attn_ln(x))
        y: Tensor = x + self.mlp(self.mlp_ln(x))
        return y


class WhisperEncoder(nn.Module):
    """Log-mel to what LatentSync's UNet3D attends to.

    `forward` takes float [B, 80, 3000], Whisper's log-mel of 30 s, and returns float [B, 1500, 5, 384]: of
    each row the state after the positional embedding and after each of the four blocks.
    """

    positional_embedding: Tensor

    def __init__(self, blocks: int = WHISPER_STATES - 1, rows: int = WHISPER_ROWS) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(MEL_BINS, AUDIO_WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(AUDIO_WIDTH, AUDIO_WIDTH, 3, stride=2, padding=1)
        self.register_buffer("positional_embedding", _sinusoids(rows, AUDIO_WIDTH))
        self.blocks = nn.ModuleList(Block(AUDIO_WIDTH, _HEADS) for _ in range(blocks))

    def forward(self, mel: Tensor) -> Tensor:
        return torch.stack(self.states(mel), dim=2)

    def states(self, mel: Tensor) -> list[Tensor]:
        """Return the state [B, rows, 384] after the positional embedding, and after each block."""
        x = functional.gelu(self.conv1(mel))
        x = functional.gelu(self.conv2(x)).transpose(1, 2) + self.positional_embedding
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1]))
        return states


class SpeechEncoder(WhisperEncoder):
    """Log-mel of 8 s to what the lip motion hears: the first blocks alone.

    `forward` takes float [B, 80, 800] and returns float [B, 400, STATES * 384], the states after each block
    side by side. The positional embedding is computed, and rounded as OpenAI publishes it: to half precision.
    """

    def __init__(self) -> None:
        super().__init__(STATES, ROWS)
        rounded = self.positional_embedding.half().float()
        self.register_buffer("positional_embedding", rounded, persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        return torch.cat(self.states(mel)[1:], dim=-1)


def random_whisper(seed: int) -> WhisperEncoder:
    """Return an encoder of seeded random weights, in inference mode."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return WhisperEncoder().eval()


def _sinusoids(rows: int, width: int) -> Tensor:
    """Return float [rows, width], sines then cosines of periods from 2 pi to 20,000 pi rows."""
    rates = torch.exp(-math.log(10_000) / (width // 2 - 1) * torch.arange(width // 2))
    angles = torch.arange(rows)[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1)
