"""The first ten convolutions of VGG-16, whose features the perceptual and the style loss compare.

Layers: K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(2015). The names of the state dict are those of torchvision's `vgg16`, whose weights load as they are; none
are shipped. Without them the weights are random: such features still compare textures, less well.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from lipserve_export.fetch.states import check_keys, read_state

_POOL = 0
_TABLE = (64, 64, _POOL, 128, 128, _POOL, 256, 256, 256, _POOL, 512, 512, 512)
_TAPS = (3, 8, 15, 22)  # relu1_2, relu2_2, relu3_3, relu4_3


class Vgg(nn.Module):
    """VGG-16 up to relu4_3, frozen.

    Attributes:
        source: what its weights are, in words.
    """

    def __init__(self) -> None:
        super().__init__()
        self.source = "weights not set"
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in _TABLE:
            if outputs == _POOL:
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return the features after relu1_2, relu2_2, relu3_3 and relu4_3 of BGR float [N, 3, H, W] in 0..1.

        The network sees RGB, without ImageNet's mean and deviation, as in OMGD (Ren et al., 2021).
        """
        x, taps = pictures.flip(1), []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in _TAPS:
                taps.append(x)
        return taps


def load_vgg(path: Path) -> Vgg:
    """Return the network with the weights of a checkpoint of torchvision's `vgg16`.

    Raises:
        SetupError: the file is not a checkpoint, or not of that network.
    """
    vgg = Vgg()
    wanted = vgg.state_dict()
    state = {key: value for key, value in read_state(path).items() if key in wanted}  # it has more layers
    check_keys(state, wanted, path, "VGG-16 (torchvision's names)")
    vgg.load_state_dict(state)
    vgg.source = path.name
    return vgg


def random_vgg(seed: int) -> Vgg:
    """Return the network with random weights that neither swell nor shrink a signal (He et al., 2015)."""
    vgg = Vgg()
    generator = torch.Generator().manual_seed(seed)
    for layer in vgg.features:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
    vgg.source = f"random weights, seed {seed}"
    return vgg
