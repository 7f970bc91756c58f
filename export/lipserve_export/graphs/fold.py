"""BatchNorm folded into the convolution before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def folded(conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the weight and bias of the one convolution that equals `norm(conv(x))` at inference.

    Computed in float64, given as float32. A transposed convolution keeps its output channels on axis 1
    of the weight, the other on axis 0.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("BatchNorm without running statistics cannot be folded")
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    shape = [1, 1, 1, 1]
    shape[1 if isinstance(conv, nn.ConvTranspose2d) else 0] = -1
    weight = conv.weight.double() * scale.reshape(shape)
    bias = norm.bias.double() - norm.running_mean.double() * scale
    if conv.bias is not None:
        bias = bias + conv.bias.double() * scale
    return weight.detach().float(), bias.detach().float()
