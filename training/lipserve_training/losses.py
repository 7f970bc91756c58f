"""Differences between pictures (float [N, C, H, W] in 0..1), and of lips from speech; most are scalars."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
_FAINT = 1e-5  # keeps the slope of a root finite: 0.003 of deviation
_C1, _C2 = 0.01**2, 0.03**2


def weighted_l1(made: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Return the mean absolute difference under a weight [H, W] of mean 1."""
    return ((made - truth).abs() * weight).mean()


def ssim(made: Tensor, truth: Tensor) -> Tensor:
    """Return the map of structural similarity [N, C, H, W].

    Wang et al. (2004), per channel, Gaussian window of 11 and sigma 1.5, zero padding, population variances,
    as in OMGD (Ren et al., 2021).
    """
    made, truth = made.float(), truth.float()
    rows, columns = (_band(side).to(made) for side in made.shape[-2:])

    def local(x: Tensor) -> Tensor:
        return rows @ x @ columns  # the Gaussian as two band matrices: several times faster than convolving

    with torch.autocast(made.device.type, enabled=False):  # differences of squares leave nothing of a half
        mean_a, mean_b = local(made), local(truth)
        variance_a, variance_b = local(made**2) - mean_a**2, local(truth**2) - mean_b**2
        covariance = local(made * truth) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return likeness / ((mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2))


def ssim_loss(made: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return 1 - SSIM, averaged under a weight [H, W] of mean 1 (None: evenly)."""
    likeness = 1 - ssim(made, truth)
    return likeness.mean() if weight is None else (likeness * weight).mean()


def texture_loss(made: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Return by how much the strength of fine detail differs, under a weight [H, W] of mean 1.

    Detail is what the Gaussian of SSIM takes away; its strength is its deviation within the same window.
    Where detail cannot be foretold, a pixel's loss asks for none of it: this asks for as much as there is.
    """
    rows, columns = (_band(side).to(made) for side in made.shape[-2:])

    def strength(x: Tensor) -> Tensor:
        detail = x - rows @ x @ columns
        return (rows @ detail**2 @ columns + _FAINT).sqrt()

    with torch.autocast(made.device.type, enabled=False):
        return ((strength(made.float()) - strength(truth.float())).abs() * weight).mean()


def lower_halves(frames: Tensor) -> Tensor:
    """Return the lower halves of frames [B, T, 3, 96, 96] as the expert sees them: [B, 3 T, 48, 96]."""
    return frames[:, :, :, frames.shape[3] // 2 :].flatten(1, 2)


def sync_loss(cosine: Tensor, together: Tensor | None = None) -> Tensor:
    """Return the binary cross entropy of the expert's cosines [B] in 0..1.

    Args:
        together: [B], 1 where lips and speech belong together and 0 where not; None: they all do, which
            leaves the mean of -ln cosine (each logarithm at least -100).
    """
    truth = torch.ones_like(cosine) if together is None else together
    with torch.autocast(cosine.device.type, enabled=False):  # torch refuses it in half precision ...
        loss = functional.binary_cross_entropy(cosine.float().nan_to_num(), truth.float())
    return torch.where(cosine.isfinite().all(), loss, torch.nan)  # ... and of what is no number


@lru_cache
def _band(side: int) -> Tensor:
    """Return the symmetric matrix [side, side] that convolves with the Gaussian, zeros beyond the ends."""
    at = torch.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    taps = torch.exp(-(at**2) / (2 * SSIM_SIGMA**2))
    distance = (torch.arange(side)[:, None] - torch.arange(side)).abs()
    reach = SSIM_WINDOW // 2
    return torch.where(distance <= reach, (taps / taps.sum())[(distance + reach).clamp(max=2 * reach)], 0.0)
