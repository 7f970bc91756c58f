"""The visual quality discriminator: whether the lower half of a face is a photograph.

Layer table: K. R. Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In The
Wild" (2020).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from lipserve_export.wav2lip.network import Layer

_BLOCKS = (
    (Layer(3, 32, kernel=7, padding=3),),
    (Layer(32, 64, kernel=5, stride=(1, 2), padding=2), Layer(64, 64, kernel=5, padding=2)),
    (Layer(64, 128, kernel=5, stride=2, padding=2), Layer(128, 128, kernel=5, padding=2)),
    (Layer(128, 256, kernel=5, stride=2, padding=2), Layer(256, 256, kernel=5, padding=2)),
    (Layer(256, 512, stride=2), Layer(512, 512)),
    (Layer(512, 512, stride=2), Layer(512, 512)),
    (Layer(512, 512, padding=0), Layer(512, 512, kernel=1, padding=0)),
)
_SLOPE = 0.01


class _Block(nn.Module):
    """A convolution without normalisation, and a leaky ReLU."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        conv = nn.Conv2d(layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding)
        self.conv_block = nn.Sequential(conv)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.conv_block(x), _SLOPE)


class Discriminator(nn.Module):
    """Give the logits [N] of lower halves float [N, 3, 48, 96] in 0..1: above 0 where they look real."""

    def __init__(self) -> None:
        super().__init__()
        blocks = (nn.Sequential(*(_Block(layer) for layer in block)) for block in _BLOCKS)
        self.face_encoder_blocks = nn.ModuleList(blocks)
        self.binary_pred = nn.Sequential(nn.Conv2d(_BLOCKS[-1][-1].outputs, 1, 1))

    def forward(self, faces: Tensor) -> Tensor:
        for encode in self.face_encoder_blocks:
            faces = encode(faces)
        logits: Tensor = self.binary_pred(faces)
        return logits.flatten()
