"""The SyncNet by which the literature judges lip-sync: LSE-D, LSE-C and the offset of sound and picture.

Layers: J. S. Chung, A. Zisserman, "Out of time: automated lip sync in the wild" (2016), in the form whose
weights are published as `syncnet_v2.model`. The names of the sub-modules are those of that file.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from lipserve_export.fetch.states import check_keys, read_state

FRAMES = 5  # pictures that the lip network looks at together
STEPS = 20  # MFCC steps that the audio network hears: as long
SIZE = 224  # pixels
_WIDTH, _FEATURES = 512, 1024

# Convolution: inputs, outputs, kernel, stride, padding. Pooling: kernel, stride, padding.
_Step = tuple[int, int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]
_Pool = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
_AUDIO: tuple[tuple[_Step, _Pool | None], ...] = (
    ((1, 64, (3, 3), (1, 1), (1, 1)), ((1, 1), (1, 1), (0, 0))),
    ((64, 192, (3, 3), (1, 1), (1, 1)), ((3, 3), (1, 2), (0, 0))),
    ((192, 384, (3, 3), (1, 1), (1, 1)), None),
    ((384, 256, (3, 3), (1, 1), (1, 1)), None),
    ((256, 256, (3, 3), (1, 1), (1, 1)), ((3, 3), (2, 2), (0, 0))),
    ((256, 512, (5, 4), (1, 1), (0, 0)), None),
)
_LIPS: tuple[tuple[_Step, _Pool | None], ...] = (
    ((3, 96, (5, 7, 7), (1, 2, 2), (0, 0, 0)), ((1, 3, 3), (1, 2, 2), (0, 0, 0))),
    ((96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1)), ((1, 3, 3), (1, 2, 2), (0, 1, 1))),
    ((256, 256, (1, 3, 3), (1, 1, 1), (0, 1, 1)), None),
    ((256, 256, (1, 3, 3), (1, 1, 1), (0, 1, 1)), None),
    ((256, 256, (1, 3, 3), (1, 1, 1), (0, 1, 1)), ((1, 3, 3), (1, 2, 2), (0, 0, 0))),
    ((256, 512, (1, 6, 6), (1, 1, 1), (0, 0, 0)), None),
)


class SyncNet(nn.Module):
    """Speech and lips to vectors that lie close where they belong together."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = _convolutions(_AUDIO, nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)
        self.netfcaud = _dense()
        self.netcnnlip = _convolutions(_LIPS, nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d)
        self.netfclip = _dense()

    def hear(self, mfcc: Tensor) -> Tensor:
        """Return vectors [B, 1024] of MFCC [B, 1, 13, 20]; they are not normalised."""
        vectors: Tensor = self.netfcaud(self.netcnnaud(mfcc).flatten(1))
        return vectors

    def look(self, pictures: Tensor) -> Tensor:
        """Return vectors [B, 1024] of BGR pictures [B, 3, 5, 224, 224] in 0..255; they are not normalised."""
        vectors: Tensor = self.netfclip(self.netcnnlip(pictures).flatten(1))
        return vectors


def load(path: Path) -> SyncNet:
    """Return the network of a checkpoint, in inference mode.

    Raises:
        SetupError: the file is no checkpoint, or one of another network.
    """
    state, network = read_state(path), SyncNet()
    check_keys(state, network.state_dict(), path, "the evaluation SyncNet")
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def distances(heard: Tensor, seen: Tensor, reach: int) -> Tensor:
    """Return distances [2 reach + 1, T] of vectors seen [T, 1024] from those heard, moved by -reach..reach.

    Row k compares frame t with the speech of t + k - reach; zeros lie around the speech. As torch's
    `pairwise_distance` has it, 1e-6 is added to each difference.
    """
    padded = nn.functional.pad(heard, (0, 0, reach, reach))
    rows = [nn.functional.pairwise_distance(seen, padded[k : k + len(seen)]) for k in range(2 * reach + 1)]
    return torch.stack(rows)


def _convolutions(
    table: tuple[tuple[_Step, _Pool | None], ...],
    conv: type[nn.Conv2d] | type[nn.Conv3d],
    norm: type[nn.BatchNorm2d] | type[nn.BatchNorm3d],
    pool: type[nn.MaxPool2d] | type[nn.MaxPool3d],
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for (inputs, outputs, kernel, stride, padding), pooled in table:
        layers += [conv(inputs, outputs, kernel, stride, padding), norm(outputs), nn.ReLU()]  # type: ignore[arg-type]
        if pooled:
            layers.append(pool(*pooled))
    return nn.Sequential(*layers)


def _dense() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(_WIDTH, _WIDTH), nn.BatchNorm1d(_WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _FEATURES)
    )
