"""What a student's picture and features lack of its teacher's.

Losses as Y. Ren et al. coded them for "Online Multi-Granularity Distillation for GAN Compression" (2021),
which the compressed Wav2Lip is trained with.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lipserve_export.wav2lip.network import Wav2Lip

_FEATURE_TAP = 1  # relu2_2


def adapters(student: Wav2Lip, teacher: Wav2Lip) -> nn.ModuleList:
    """Return a map from the student's channels to the teacher's for each of the seven decoder blocks."""
    pairs = zip(student.feature_channels, teacher.feature_channels, strict=True)
    return nn.ModuleList(_adapter(inputs, outputs) for inputs, outputs in pairs)


def _adapter(inputs: int, outputs: int) -> nn.Sequential:
    conv, norm = nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
    nn.init.normal_(conv.weight, 0, 0.02)
    nn.init.normal_(norm.weight, 1, 0.02)
    return nn.Sequential(conv, norm, nn.ReLU())


def channel_loss(maps: nn.ModuleList, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Return the squared difference of the channels' means over the picture, summed over the blocks.

    Args:
        maps: the adapters.
        student, teacher: features [N, C, H, W] of each decoder block.
    """
    terms = [
        (adapt(small).float().mean((2, 3)) - large.float().mean((2, 3))).square().mean()
        for adapt, small, large in zip(maps, student, teacher, strict=True)
    ]
    return torch.stack(terms).sum()


def feature_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Return the mean absolute difference of VGG's second taps."""
    return (student[_FEATURE_TAP].float() - teacher[_FEATURE_TAP].float()).abs().mean()


def style_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Return the mean absolute difference of the Gram matrices of VGG's taps, summed over the taps."""
    terms = [(gram(a) - gram(b)).abs().mean() for a, b in zip(student, teacher, strict=True)]
    return torch.stack(terms).sum()


def gram(features: Tensor) -> Tensor:
    """Return the Gram matrices [N, C, C] of features [N, C, H, W], divided by C H W."""
    flat = features.flatten(2).float()
    with torch.autocast(flat.device.type, enabled=False):
        return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def total_variation(pictures: Tensor) -> Tensor:
    """Return the sum of the absolute differences of neighbours, across and down, in float [N, 3, H, W]."""
    across, down = pictures.diff(dim=3), pictures.diff(dim=2)
    return across.abs().sum() + down.abs().sum()
