from __future__ import annotations

import pytest
import torch
from torch import nn

from lipserve_export.graphs.fold import folded


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(5, 7, 3, stride=2, padding=1),
        nn.Conv2d(5, 7, 3, bias=False),
        nn.ConvTranspose2d(5, 7, 3, stride=2, padding=1, output_padding=1),
    ],
    ids=["conv", "conv without bias", "transposed"],
)
def test_the_folded_convolution_equals_the_pair(conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
    torch.manual_seed(3)
    norm = nn.BatchNorm2d(7)
    pair = nn.Sequential(conv, norm)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
        for _ in range(5):
            pair(3 + 2 * torch.randn(4, 5, 9, 9))
        x = 3 + 2 * torch.randn(2, 5, 9, 9)
        expected = pair.eval()(x)
        assert float(expected.std()) > 0.1
        weight, bias = folded(conv, norm)
        conv.weight.copy_(weight)
        conv.bias = nn.Parameter(bias)
        torch.testing.assert_close(conv(x), expected, atol=1e-5, rtol=1e-5)
