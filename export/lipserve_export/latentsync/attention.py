"""Attention, and the spatial transformer: the tokens of one frame see each other, then that frame's audio."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6  # of the transformers' GroupNorms, which see one frame


class Attention(nn.Module):
    """Multi-head attention without biases but the last.

    Products and softmax are written out: exporters keep them as MatMul and Softmax, whose precision can be
    chosen one by one, and TensorRT fuses them again.
    """

    def __init__(self, channels: int, heads: int, context: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context, channels, bias=False)
        self.to_v = nn.Linear(context, channels, bias=False)
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Return what tokens x [N, T, C] gather from context [N, S, D]: [N, T, C]."""
        q, k, v = (
            projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projected in (self.to_q(x) * self.scale, self.to_k(context), self.to_v(context))
        )
        shares = (q @ k.transpose(-1, -2)).softmax(dim=-1)
        gathered: Tensor = self.to_out((shares @ v).transpose(1, 2).flatten(2))
        return gathered


class GEGLU(nn.Module):
    """A linear layer whose second half, through the exact GELU, gates the first."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.proj = nn.Linear(inputs, 2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.proj(x)
        return y[..., : self.outputs] * functional.gelu(y[..., self.outputs :])


class FeedForward(nn.Module):
    """GEGLU to four times the width, and back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # The middle is where training drops out; the checkpoints number the layers with it.
        self.net = nn.Sequential(
            GEGLU(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return y


class SpatialBlock(nn.Module):
    """Self-attention, attention to audio and a feed-forward network, each added to its input."""

    def __init__(self, channels: int, heads: int, context: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(channels, heads, context)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, audio: Tensor) -> Tensor:
        own = self.norm1(x)
        x = x + self.attn1(own, own)
        x = x + self.attn2(self.norm2(x), audio)
        y: Tensor = x + self.ff(self.norm3(x))
        return y


class SpatialTransformer(nn.Module):
    """One SpatialBlock over the pixels of each frame."""

    def __init__(self, channels: int, heads: int, context: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, EPSILON)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([SpatialBlock(channels, heads, context)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, audio: Tensor) -> Tensor:
        """Return [B*F, C, H, W] of x and the audio [B*F, S, D] of each frame."""
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, audio)
        y: Tensor = self.proj_out(tokens.transpose(1, 2).unflatten(2, x.shape[2:]))
        return x + y
