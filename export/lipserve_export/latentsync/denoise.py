"""One denoising step as a network: guidance, UNet3D and the solver's update.

`lipserve.contracts.latentsync` gives the names and shapes of what each `forward` takes and returns, in its
order. The two halves of classifier-free guidance lie side by side, unconditional first: [B, 2, ...] as
FEATURES has it, folded to [2B, ...] for the network. So the batch is never split.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipserve_export.latentsync.unet3d import UNet3D


class DenoiseStep(nn.Module):
    """A whole step; FEATURES are for the shallow steps that follow."""

    def __init__(self, unet: UNet3D) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self,
        latents: Tensor,
        previous_x0: Tensor,
        mask: Tensor,
        masked: Tensor,
        reference: Tensor,
        audio: Tensor,
        timestep: Tensor,
        guidance: Tensor,
        coefficients: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return NEXT_LATENTS, X0 and FEATURES."""
        inputs = _halves(self.unet, latents, mask, masked, reference, audio, timestep)
        noise, features = self.unet.with_features(*inputs)
        next_latents, x0 = _solved(noise, latents, previous_x0, guidance, coefficients)
        return next_latents, x0, _paired(features).to(latents.dtype)


class DenoiseStepShallow(nn.Module):
    """A step of which UNet3D's last layer alone is computed; FEATURES are those of the last whole step."""

    def __init__(self, unet: UNet3D) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self,
        latents: Tensor,
        previous_x0: Tensor,
        mask: Tensor,
        masked: Tensor,
        reference: Tensor,
        audio: Tensor,
        timestep: Tensor,
        guidance: Tensor,
        coefficients: Tensor,
        features: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return NEXT_LATENTS and X0."""
        inputs = _halves(self.unet, latents, mask, masked, reference, audio, timestep)
        noise = self.unet.shallow(*inputs, features.flatten(0, 1).to(self.unet.dtype))
        return _solved(noise, latents, previous_x0, guidance, coefficients)


def _halves(
    unet: UNet3D,
    latents: Tensor,
    mask: Tensor,
    masked: Tensor,
    reference: Tensor,
    audio: Tensor,
    timestep: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return UNet3D's inputs, without speech (zero states) and with it: each [2B, ...]."""
    sample = torch.cat((latents, mask, masked, reference), dim=1).to(unet.dtype)
    speech = audio.to(unet.dtype)
    return (
        torch.stack((sample, sample), dim=1).flatten(0, 1),
        torch.cat((timestep, timestep), dim=1).flatten(),
        torch.stack((torch.zeros_like(speech), speech), dim=1).flatten(0, 1),
    )


def _paired(halves: Tensor) -> Tensor:
    """Return [2B, ...] as [B, 2, ...]."""
    return halves.reshape(-1, 2, *halves.shape[1:])


def _solved(
    noise: Tensor, latents: Tensor, previous_x0: Tensor, guidance: Tensor, coefficients: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the next latents and x0: guidance and `lipserve.latentsync.schedulers.Step`, in float32."""

    def over(values: Tensor) -> Tensor:
        """Return [B, 1] against [B, 4, F, h, w]."""
        return values[:, :, None, None, None]

    halves = _paired(noise).to(latents.dtype)
    without, conditioned = halves[:, 0], halves[:, 1]
    guided = without + over(guidance) * (conditioned - without)
    c0, c1, a, b, c = (over(coefficients[:, number : number + 1]) for number in range(5))
    x0 = c0 * latents + c1 * guided
    return a * latents + b * x0 + c * previous_x0, x0
