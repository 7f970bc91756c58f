"""Stable Diffusion's autoencoder (sd-vae-ft-mse) as LatentSync calls it: diffusers' network, our borders.

R. Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from lipserve.contracts.latentsync import LATENT_CHANNELS

SCALE = 0.18215  # latents of unit variance, over the VAE's own
_LOG_VARIANCE = (-30.0, 20.0)  # diffusers' DiagonalGaussianDistribution


@dataclass(frozen=True)
class VaeConfig:
    """The widths of an autoencoder; four levels, so that a latent stands for 8 x 8 pixels."""

    block_out_channels: tuple[int, int, int, int] = (128, 256, 512, 512)
    layers_per_block: int = 2
    groups: int = 32

    def build(self) -> AutoencoderKL:
        """Return the network, untrained, with the keys of sd-vae-ft-mse's checkpoint."""
        vae: AutoencoderKL = AutoencoderKL(
            latent_channels=LATENT_CHANNELS,
            block_out_channels=self.block_out_channels,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=self.layers_per_block,
            norm_num_groups=self.groups,
            scaling_factor=SCALE,
        )
        return vae


FULL = VaeConfig()
TINY = VaeConfig((8, 16, 16, 16), layers_per_block=1, groups=8)
"""Every kind of layer, and little work: of the tests, and of the demo without weights."""


class VaeEncoder(nn.Module):
    """Pictures to latents.

    `forward` takes pictures float [B, 3, S, S] in -1..1 and standard normal noise [B, 4, S/8, S/8] (zeros
    give the mode), and returns the scaled latents mean + deviation * noise [B, 4, S/8, S/8], and
    [B, 8, S/8, S/8] of mean and log variance, unscaled.
    """

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.encoder, self.quant_conv = vae.encoder, vae.quant_conv

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        moments = self.quant_conv(self.encoder(images))
        mean = moments[:, :LATENT_CHANNELS]
        log_variance = moments[:, LATENT_CHANNELS:].clamp(*_LOG_VARIANCE)
        latents = (mean + torch.exp(0.5 * log_variance) * noise) * SCALE
        return latents, torch.cat((mean, log_variance), dim=1)


class VaeDecoder(nn.Module):
    """Scaled latents float [B, 4, S/8, S/8] to pictures [B, 3, S, S] around -1..1, not clamped."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder

    def forward(self, latents: Tensor) -> Tensor:
        # The learnt mix of the channels: without it faces come out deformed and discoloured.
        images: Tensor = self.decoder(self.post_quant_conv(latents / SCALE))
        return images


def random_vae(config: VaeConfig, seed: int) -> AutoencoderKL:
    """Return an autoencoder of seeded random weights, in inference mode.

    Its values are of a real one's size: its last layers are set on seeded noise so that pictures give latents
    of about unit variance, and such latents give pictures of mean 0 and standard deviation 0.4.
    """
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(seed)
        vae = config.build().eval()
        for module in vae.modules():
            if isinstance(module, nn.GroupNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
        images, latents = torch.rand(4, 3, 64, 64) * 2 - 1, torch.randn(4, LATENT_CHANNELS, 8, 8)
        encoder, decoder = VaeEncoder(vae), VaeDecoder(vae)
        _normalise(vae.quant_conv, encoder.quant_conv(encoder.encoder(images)), 1 / SCALE)
        vae.quant_conv.weight[LATENT_CHANNELS:].mul_(0.1)
        vae.quant_conv.bias[LATENT_CHANNELS:].mul_(0.1).sub_(4)  # of the log variance: a deviation near 0.13
        _normalise(vae.decoder.conv_out, decoder(latents), 0.4)
    return vae


def _normalise(conv: nn.Conv2d, outputs: Tensor, deviation: float) -> None:
    """Set a convolution that gave `outputs` so that each channel has mean 0 and this standard deviation."""
    scale = deviation / outputs.std(dim=(0, 2, 3))
    assert conv.bias is not None
    conv.bias.sub_(outputs.mean(dim=(0, 2, 3))).mul_(scale)
    conv.weight.mul_(scale.reshape(-1, 1, 1, 1))
