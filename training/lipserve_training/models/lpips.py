"""How unlike two pictures look to a network that was taught by people: ST-LPIPS.

LPIPS (Zhang et al., 2018) with the trunk of Ghildyal and Liu, "Shift-tolerant Perceptual Similarity Metric"
(2022): VGG-16 whose pooling is a maximum followed by a low-pass. It hardly minds that a face lies a fraction
of a pixel elsewhere, which aligned frames of a moving head do. Trunk and heads are read as tensors from the
file in the package `stlpips_pytorch`, whose own code needs torchvision.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lipserve_export.fetch.states import check_keys, read_state

PACKAGE = "stlpips_pytorch"
_FILE = "weights/vST0.0/vgg_shift_tolerant.pth"
_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_POOLED = 2  # modules of a stage before its convolutions: the maximum and the low-pass


class LowPass(nn.Module):
    """Every second sample [B, C, H/2 + 1, W/2 + 1] after a binomial filter; the border is mirrored."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", torch.empty(channels, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, (2, 2, 2, 2), mode="reflect")
        return functional.conv2d(padded, self.get_buffer("filt"), stride=2, groups=x.shape[1])


class Trunk(nn.Module):
    """The five stages, under the names of the published file."""

    def __init__(self) -> None:
        super().__init__()
        number, inputs = 0, 3
        for stage, widths in enumerate(_STAGES, 1):
            layers = nn.Sequential()
            if stage > 1:
                layers.add_module(str(number), nn.MaxPool2d(2, stride=1))
                layers.add_module(str(number + 1), LowPass(inputs))
                number += _POOLED
            for width in widths:
                layers.add_module(str(number), nn.Conv2d(inputs, width, 3, padding=1))
                layers.add_module(str(number + 1), nn.ReLU())
                number, inputs = number + 2, width
            self.add_module(f"slice{stage}", layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for stage in self.children():
            x = stage(x)
            features.append(x)
        return features


class Lpips(nn.Module):
    """The distance of pictures, averaged under a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Trunk()
        for number, widths in enumerate(_STAGES):
            head = nn.Module()
            head.model = nn.Sequential(nn.Identity(), nn.Conv2d(widths[-1], 1, 1, bias=False))
            self.add_module(f"lin{number}", head)
        self.scaling_layer = nn.Module()
        self.scaling_layer.register_buffer("shift", torch.empty(1, 3, 1, 1))
        self.scaling_layer.register_buffer("scale", torch.empty(1, 3, 1, 1))

    def features(self, images: NDArray[np.uint8]) -> list[Tensor]:
        """Return what the network sees in pictures uint8 [N, H, W, 3] RGB, each layer of unit length."""
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32)) / 127.5 - 1
        layer = self.scaling_layer
        with torch.inference_mode():
            seen = self.net((pixels - layer.get_buffer("shift")) / layer.get_buffer("scale"))
            return [x / (x.norm(dim=1, keepdim=True) + 1e-10) for x in seen]

    def forward(self, made: list[Tensor], true: list[Tensor], mask: NDArray[np.float32]) -> Tensor:
        """Return the distances [N] of features of equally large pictures, averaged under a mask [H, W]."""
        total = torch.zeros(len(made[0]))
        shares = torch.from_numpy(mask)[None, None]
        with torch.inference_mode():
            for number, (a, b) in enumerate(zip(made, true, strict=True)):
                head = self.get_submodule(f"lin{number}.model")
                unlike = head((a - b) ** 2)[:, 0]
                share = functional.interpolate(shares, unlike.shape[1:], mode="area")[0, 0]
                total += (unlike * share).sum((1, 2)) / share.sum()
        return total


def weights() -> Path | None:
    """Return the file of the installed package, or None where it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    folders = found.submodule_search_locations if found else None
    path = Path(folders[0]) / _FILE if folders else None
    return path if path and path.exists() else None


def load(path: Path) -> Lpips:
    """Return the network with its published weights, or raise SetupError."""
    network = Lpips()
    state = read_state(path)
    check_keys(state, network.state_dict(), path, "ST-LPIPS on VGG-16")
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)
