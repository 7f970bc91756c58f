"""The lip motion network: states of Whisper's encoder to lip shapes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipserve.contracts.lipwarp import SHAPES, STATE_WIDTH, STATES

MEMBERS = 3  # small networks, trained apart, whose mean is taken
DIRECTIONS = 160  # principal directions of the states that they hear
WIDTH = 96
DILATIONS = (1, 2, 4)  # rows between the five taps of each convolution
SILENCE = 39  # of the phones: the 39 of the CMU dictionary in alphabetical order, then silence
LIPS_SHUT = (6, 21, 26)  # B, M, P
AWAKE, FADE = 20, 5  # rows around speech in which the mouth is free, and over which that fades

_FARTHEST = 6.0  # deviations: states have a few wild numbers


class LipMotion(nn.Module):
    """States float [B, R, STATES * 384] to shapes [B, R, SHAPES], of a person whose mouth opens by one.

    The states are standardised and turned to principal directions, which training fits beforehand and leaves
    alone. Where the members hear silence the mouth is closed, where they hear B, M or P nearly so.
    """

    mean: Tensor
    scale: Tensor
    gap: Tensor  # how far each number of a shape parts the inner lips

    def __init__(self, members: int = MEMBERS, directions: int = DIRECTIONS, width: int = WIDTH) -> None:
        super().__init__()
        inputs = STATES * STATE_WIDTH
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.register_buffer("gap", torch.ones(SHAPES))
        self.listen = nn.Linear(inputs, directions)
        self.members = nn.ModuleList(Member(directions, width) for _ in range(members))

    def forward(self, states: Tensor) -> Tensor:
        features = self.heard(states)
        outputs = [member(features) for member in self.members]
        shapes = torch.stack([shape for shape, _ in outputs]).mean(0)
        phones = torch.stack([torch.softmax(phone, -1) for _, phone in outputs]).mean(0)
        return closed(shapes, phones, self.gap)

    def heard(self, states: Tensor) -> Tensor:
        """Return the principal directions [B, R, D] of states."""
        standard = torch.clamp((states - self.mean) / self.scale, -_FARTHEST, _FARTHEST)
        directions: Tensor = self.listen(standard)
        return directions


class Member(nn.Module):
    """Directions [B, R, D] to shapes [B, R, SHAPES] and the logits of 40 phones [B, R, 40]."""

    def __init__(self, directions: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.enter = nn.Linear(directions, width)
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation) for dilation in DILATIONS
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in DILATIONS)
        self.shapes = nn.Linear(width, SHAPES)
        self.phones = nn.Linear(width, SILENCE + 1)
        self.forget = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.gelu(self.enter(self.forget(features)))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = x + self.forget(functional.gelu(layer(norm(x).transpose(1, 2)).transpose(1, 2)))
        return self.shapes(x), self.phones(x)


def closed(shapes: Tensor, phones: Tensor, gap: Tensor) -> Tensor:
    """Return shapes [B, R, K] with the mouth closed in silence, and its opening small at B, M and P.

    Lips open before a word is heard and close after it: only silence that lasts closes them.

    Args:
        phones: probabilities [B, R, 40].
    """
    speaking = torch.clamp(4 * (1 - phones[..., SILENCE]), 0, 1)
    near = functional.max_pool1d(speaking[:, None], 2 * AWAKE + 1, 1, AWAKE)
    awake = functional.avg_pool1d(near, 2 * FADE + 1, 1, FADE, count_include_pad=False)[:, 0, :, None]
    shut = phones[..., list(LIPS_SHUT)].sum(-1, keepdim=True)
    parted = torch.relu(shapes @ gap)[..., None]
    opening = shapes[..., :1] - shut * parted / gap[0]
    return torch.cat((opening, shapes[..., 1:]), -1) * awake
