"""UNet3D, LatentSync's denoising network, at any width, with motion modules everywhere, in part or nowhere.

C. Li et al., "LatentSync: Taming Audio-Conditioned Latent Diffusion Models for Lip Sync with SyncNet
Supervision" (2024), versions 1.5 and 1.6: one architecture. The names of the sub-modules are those of the
public checkpoints, so their state dicts load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipserve.contracts.latentsync import AUDIO_WIDTH, LATENT_CHANNELS
from lipserve_export.latentsync.attention import SpatialTransformer
from lipserve_export.latentsync.motion import MotionModule, PositionalEncoding, sinusoids
from lipserve_export.latentsync.resnet import (
    EPSILON,
    Downsample,
    ResnetBlock,
    TimeEmbedding,
    Upsample,
    folded,
    spread,
)

IN_CHANNELS = 3 * LATENT_CHANNELS + 1  # noisy 4, mask 1, masked 4, reference 4
Motion = Literal["all", "decoder", "none"]


@dataclass(frozen=True)
class UNet3DConfig:
    """One member of the family.

    Attributes:
        block_out_channels: of each level, finest first; the last one has no spatial transformers.
        layers_per_block: on the way down; one more on the way up.
        heads: of every attention (`attention_head_dim` in the published configuration).
        groups: of every GroupNorm.
        cross_attention_dim: width of the audio's rows.
        motion: where motion modules are: `all` levels, those of the `decoder` (up), or `none`.
        max_len: frames that the motion modules can tell apart.
    """

    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    heads: int = 8
    groups: int = 32
    cross_attention_dim: int = AUDIO_WIDTH
    motion: Motion = "all"
    max_len: int = 24

    @property
    def embedding(self) -> int:
        """Width of the timestep's embedding."""
        return 4 * self.block_out_channels[0]


FULL = UNet3DConfig()  # 1,267,099,844 parameters
TINY = UNet3DConfig(block_out_channels=(16, 16, 32, 32), layers_per_block=1, heads=2, groups=8)
"""Every kind of layer, and little work: of the tests, and of the demo without weights."""


class Level(nn.Module):
    """The layers at one resolution: a residual block, a spatial transformer and a motion module each.

    Args:
        inputs: channels that each residual block takes.
        attentions: layers that have a spatial transformer, counted from the first.
    """

    def __init__(
        self, config: UNet3DConfig, inputs: Sequence[int], outputs: int, attentions: int, motion: bool
    ) -> None:
        super().__init__()
        heads, groups, context = config.heads, config.groups, config.cross_attention_dim
        self.resnets = nn.ModuleList(
            ResnetBlock(channels, outputs, config.embedding, groups) for channels in inputs
        )
        self.attentions = nn.ModuleList(
            SpatialTransformer(outputs, heads, context, groups) for _ in range(attentions)
        )
        self.motion_modules = nn.ModuleList(
            MotionModule(outputs, heads, groups, config.max_len) for _ in inputs if motion
        )

    def layer(self, number: int, x: Tensor, embedding: Tensor, audio: Tensor, frames: int) -> Tensor:
        """Return [B*F, outputs, H, W] of x [B*F, inputs, H, W] and audio [B*F, S, D]."""
        x = self.resnets[number](x, embedding, frames)
        if number < len(self.attentions):
            x = self.attentions[number](x, audio)
        if number < len(self.motion_modules):
            x = self.motion_modules[number](x, frames)
        return x


class DownBlock(Level):
    """A level on the way down; all but the deepest halve the resolution behind their layers."""

    def __init__(self, config: UNet3DConfig, before: int, number: int) -> None:
        width, layers = config.block_out_channels[number], config.layers_per_block
        last = number == len(config.block_out_channels) - 1
        inputs = (before, *(width,) * (layers - 1))
        super().__init__(config, inputs, width, 0 if last else layers, config.motion == "all")
        self.downsamplers = nn.ModuleList([] if last else [Downsample(width)])

    def forward(
        self, x: Tensor, embedding: Tensor, audio: Tensor, frames: int
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the last activations, and the skips: those of every layer and of the downsampler."""
        skips = []
        for number in range(len(self.resnets)):
            x = self.layer(number, x, embedding, audio, frames)
            skips.append(x)
        for downsample in self.downsamplers:
            x = downsample(x)
            skips.append(x)
        return x, skips


class MidBlock(Level):
    """Two residual blocks at the coarsest resolution, a spatial transformer between them."""

    def __init__(self, config: UNet3DConfig) -> None:
        width = config.block_out_channels[-1]
        super().__init__(config, (width, width), width, attentions=1, motion=False)

    def forward(self, x: Tensor, embedding: Tensor, audio: Tensor, frames: int) -> Tensor:
        for number in range(len(self.resnets)):
            x = self.layer(number, x, embedding, audio, frames)
        return x


class UpBlock(Level):
    """A level on the way up, each layer of which takes a skip; all but the finest double the resolution."""

    def __init__(self, config: UNet3DConfig, before: int, number: int) -> None:
        widths, layers = config.block_out_channels, config.layers_per_block + 1
        width, finer = widths[number], widths[max(number - 1, 0)]
        inputs = [width + width] * layers
        inputs[0] += before - width
        inputs[-1] += finer - width  # the last skip comes from the finer level
        attentions = 0 if number == len(widths) - 1 else layers
        super().__init__(config, inputs, width, attentions, config.motion != "none")
        self.upsamplers = nn.ModuleList([Upsample(width)] if number else [])

    def forward(
        self, x: Tensor, skips: Sequence[Tensor], embedding: Tensor, audio: Tensor, frames: int
    ) -> Tensor:
        """Return what the first layers give, as many as there are skips, and the upsampler."""
        for number, skip in enumerate(skips):
            x = self.layer(number, torch.cat((x, skip), dim=1), embedding, audio, frames)
        for upsample in self.upsamplers:
            x = upsample(x)
        return x


class UNet3D(nn.Module):
    """A window of noisy latents to the noise in them.

    `forward` takes sample [B, 13, F, H, W] (noisy latents 4, mask 1, masked 4, reference 4), timestep
    float [B] of 0 to 999 and audio [B, F, S, D], and returns [B, 4, F, H, W]. H and W are multiples of 8
    (of 2 to the number of levels less one).

    The residual blocks take their statistics over all frames: a window of other length, or a padded one,
    gives other values for every frame.

    Raises:
        ValueError: more frames than the motion modules can tell apart.
    """

    def __init__(self, config: UNet3DConfig) -> None:
        super().__init__()
        self.config = config
        widths, levels = config.block_out_channels, len(config.block_out_channels)
        first = widths[0]
        self.conv_in = nn.Conv2d(IN_CHANNELS, first, 3, padding=1)
        self.time_embedding = TimeEmbedding(first, config.embedding)
        self.down_blocks = nn.ModuleList(
            DownBlock(config, widths[max(number - 1, 0)], number) for number in range(levels)
        )
        self.mid_block = MidBlock(config)
        self.up_blocks = nn.ModuleList(
            UpBlock(config, widths[min(number + 1, levels - 1)], number) for number in reversed(range(levels))
        )
        self.conv_norm_out = nn.GroupNorm(config.groups, first, EPSILON)
        self.conv_out = nn.Conv2d(first, LATENT_CHANNELS, 3, padding=1)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, and so of `sample` and `audio`."""
        return self.conv_in.weight.dtype

    def forward(self, sample: Tensor, timestep: Tensor, audio: Tensor) -> Tensor:
        return self.with_features(sample, timestep, audio)[0]

    def with_features(self, sample: Tensor, timestep: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return the noise, and what `shallow` takes: activations [B, C, F, H, W] before the last layer."""
        frames = self._frames(sample)
        rest = (self.time_embedding(timestep), audio.flatten(0, 1), frames)
        x = self.conv_in(folded(sample))
        skips = [x]
        for block in self.down_blocks:
            x, made = block(x, *rest)
            skips += made
        x = self.mid_block(x, *rest)
        layers = self.config.layers_per_block + 1
        for block in self.up_blocks:
            taken = min(layers, len(skips) - 1)  # all but the very first skip, which is the last layer's
            x = block(x, [skips.pop() for _ in range(taken)], *rest)
        return self._last(x, skips.pop(), *rest), spread(x, frames)

    def shallow(self, sample: Tensor, timestep: Tensor, audio: Tensor, features: Tensor) -> Tensor:
        """Return the noise by the last layer alone, `features` being those of an earlier step.

        The schedule is DeepCache's (X. Ma et al., 2023), branch 0.
        """
        frames = self._frames(sample)
        embedding = self.time_embedding(timestep)
        fresh = self.conv_in(folded(sample))
        return self._last(folded(features), fresh, embedding, audio.flatten(0, 1), frames)

    def _frames(self, sample: Tensor) -> int:
        frames = sample.shape[2]
        if self.config.motion != "none" and frames > self.config.max_len:
            raise ValueError(
                f"{frames} frames in a window: the motion modules tell {self.config.max_len} apart. "
                "Give windows of 16."
            )
        return frames

    def _last(self, x: Tensor, fresh: Tensor, embedding: Tensor, audio: Tensor, frames: int) -> Tensor:
        block = self.up_blocks[-1]
        assert isinstance(block, UpBlock)
        x = block.layer(self.config.layers_per_block, torch.cat((x, fresh), dim=1), embedding, audio, frames)
        x = folded(functional.silu(self.conv_norm_out(spread(x, frames))))
        return spread(self.conv_out(x), frames)


def random_unet(config: UNet3DConfig, seed: int) -> UNet3D:
    """Return a UNet3D of seeded random weights, in inference mode, in which every layer counts.

    No weight is near zero, the motion modules' last ones (zero before training) included, and the output
    is of unit scale: where a layer is left out or misplaced, results differ by much.
    """
    source = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        unet = UNet3D(config)
    unet.to_empty(device="cpu")
    with torch.no_grad():
        for module in unet.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.normal_(generator=source).mul_(module.weight[0].numel() ** -0.5)
            elif isinstance(module, nn.GroupNorm | nn.LayerNorm):
                module.weight.normal_(1.0, 0.2, generator=source)
            elif isinstance(module, PositionalEncoding):
                module.pe.copy_(sinusoids(*module.pe.shape[1:]))
            if isinstance(getattr(module, "bias", None), Tensor):
                module.bias.normal_(0.0, 0.1, generator=source)  # type: ignore[operator]
        unet.conv_out.weight.mul_(0.356**-0.5)  # the mean square of silu over a standard normal
    return unet.eval()
