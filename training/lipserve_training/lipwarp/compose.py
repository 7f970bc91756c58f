"""The picture that a renderer's flows, shares and paint make, as tensors that its loss can be derived by.

The same sum as `lipserve.lipwarp.compose` makes of whole pictures, on the mouth crop alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from lipserve.contracts.lipwarp import MOUTH_SIZE
from lipserve_export.lipwarp.renderer_network import LipRenderer
from lipserve_training.lipwarp.pairs import Batch


@dataclass(frozen=True)
class Made:
    """The output of a renderer for N frames.

    Attributes:
        picture: [N, 3, S, S], about 0..1.
        flow: [N, 4, G, G], pixels, what is added to the flows.
        memory, paint: [N, 1, S, S], 0..1, shares.
        painted: [N, 3, S, S], 0..1, whether it shows or not.
    """

    picture: Tensor
    flow: Tensor
    memory: Tensor
    paint: Tensor
    painted: Tensor


def compose(network: LipRenderer, batch: Batch) -> Made:
    """Return what a renderer makes of a batch."""
    shown = torch.cat([batch.moved, batch.memory, batch.lips], 1) * 2 - 1
    flow, blend, painted = (value.float() for value in network(shown))
    with torch.autocast(flow.device.type, enabled=False):  # half a pixel is lost in a half number
        current = sample(batch.current, batch.flows[:, 0] + flow[:, :2])
        remembered = batch.offsets[:, :, None, None]
        for number in range(batch.memories.shape[1]):
            share = batch.shares[:, number, None, None, None]
            moved = sample(batch.memories[:, number], batch.flows[:, 1 + number] + flow[:, 2:])
            remembered = remembered + share * moved
        memory, paint, painted = blend[:, :1], blend[:, 1:], grown(painted)
        unpainted = current + memory * (remembered - current)
        return Made(unpainted + paint * (painted - unpainted), flow, memory, paint, painted)


def sample(pictures: Tensor, flow: Tensor) -> Tensor:
    """Return pictures [N, 3, S, S] moved by flows [N, 2, G, G], bilinear, their borders held."""
    places = _places(flow.device) + grown(flow).permute(0, 2, 3, 1)
    at = (places + 0.5) * (2 / MOUTH_SIZE) - 1
    return functional.grid_sample(pictures, at, "bilinear", "border", align_corners=False)


def grown(values: Tensor) -> Tensor:
    """Return values [N, C, G, G] on the grid of the mouth crop."""
    return functional.interpolate(values, (MOUTH_SIZE, MOUTH_SIZE), mode="bilinear", align_corners=False)


@lru_cache
def _places(device: torch.device) -> Tensor:
    """Return x and y of each pixel, float32 [S, S, 2]."""
    at = torch.arange(MOUTH_SIZE, device=device, dtype=torch.float32)
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x, y], -1)
