"""The Wav2Lip generator at any width, with or without its residual layers.

Layer tables: K. R. Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In The
Wild" (2020) for the original; B.-K. Kim et al., "A Unified Compression Framework for Efficient Speech-Driven
Talking-Face Generation" (2023) for the compressed form, a quarter as wide and without residual layers. The
names of the sub-modules are those of the public checkpoints, so their state dicts load as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

ORIGINAL_WIDTH = 16
_FIXED = (1, 6, 15)  # channels that no width changes: of speech, of two pictures, of five


@dataclass(frozen=True)
class Variant:
    """One member of the family: `width` is the number of channels of the face encoder's first layer."""

    width: int
    residual: bool

    @property
    def name(self) -> str:
        """`original`, `compressed`, or what makes it neither."""
        for name, variant in VARIANTS.items():
            if variant == self:
                return name
        return f"width {self.width}/{ORIGINAL_WIDTH}, {'with' if self.residual else 'no'} residual layers"


VARIANTS = {"compressed": Variant(4, False), "original": Variant(ORIGINAL_WIDTH, True)}


@dataclass(frozen=True)
class Layer:
    """A convolution of the original's table, followed by `repeats` residual layers of its own width."""

    inputs: int
    outputs: int
    kernel: int = 3
    stride: int | tuple[int, int] = 1
    padding: int = 1
    repeats: int = 0
    transposed: bool = False
    output_padding: int = 0


_FACE_ENCODER: tuple[tuple[Layer, ...], ...] = (
    (Layer(6, 16, kernel=7, padding=3),),
    (Layer(16, 32, stride=2, repeats=2),),
    (Layer(32, 64, stride=2, repeats=3),),
    (Layer(64, 128, stride=2, repeats=2),),
    (Layer(128, 256, stride=2, repeats=2),),
    (Layer(256, 512, stride=2, repeats=1),),
    (Layer(512, 512, padding=0), Layer(512, 512, kernel=1, padding=0)),
)
_AUDIO_ENCODER: tuple[Layer, ...] = (
    Layer(1, 32, repeats=2),
    Layer(32, 64, stride=(3, 1), repeats=2),
    Layer(64, 128, stride=(3, 3), repeats=2),
    Layer(128, 256, stride=(3, 2), repeats=1),
    Layer(256, 512, padding=0),
    Layer(512, 512, kernel=1, padding=0),
)
_FACE_DECODER: tuple[Layer, ...] = (
    Layer(512, 512, kernel=1, padding=0),
    Layer(1024, 512, padding=0, repeats=1, transposed=True),
    Layer(1024, 512, stride=2, repeats=2, transposed=True, output_padding=1),
    Layer(768, 384, stride=2, repeats=2, transposed=True, output_padding=1),
    Layer(512, 256, stride=2, repeats=2, transposed=True, output_padding=1),
    Layer(320, 128, stride=2, repeats=2, transposed=True, output_padding=1),
    Layer(160, 64, stride=2, repeats=2, transposed=True, output_padding=1),
)
_OUTPUT = Layer(80, 32)


class ConvBlock(nn.Module):
    """Convolution, BatchNorm, ReLU; a residual block adds its input before the ReLU."""

    def __init__(self, layer: Layer, residual: bool = False) -> None:
        super().__init__()
        conv: nn.Module
        if layer.transposed:
            conv = nn.ConvTranspose2d(
                layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding, layer.output_padding
            )
        else:
            conv = nn.Conv2d(layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding)
        self.conv_block = nn.Sequential(conv, nn.BatchNorm2d(layer.outputs))
        self.act = nn.ReLU()
        self.residual = residual

    @property
    def conv(self) -> nn.Conv2d | nn.ConvTranspose2d:
        conv = self.conv_block[0]
        assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
        return conv

    @property
    def norm(self) -> nn.BatchNorm2d:
        norm = self.conv_block[1]
        assert isinstance(norm, nn.BatchNorm2d)
        return norm

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_block(x)
        return torch.relu(y + x if self.residual else y)


def _scaled(layer: Layer, width: int) -> Layer:
    def scale(channels: int) -> int:
        return channels if channels in _FIXED else channels * width // ORIGINAL_WIDTH

    return Layer(**{**vars(layer), "inputs": scale(layer.inputs), "outputs": scale(layer.outputs)})


def blocks(layers: tuple[Layer, ...], variant: Variant) -> nn.Sequential:
    """Return the blocks of a table of the original's layers at a variant's width."""
    built = []
    for layer in layers:
        scaled = _scaled(layer, variant.width)
        built.append(ConvBlock(scaled))
        same = Layer(scaled.outputs, scaled.outputs)
        built += [ConvBlock(same, residual=True) for _ in range(layer.repeats if variant.residual else 0)]
    return nn.Sequential(*built)


class Wav2Lip(nn.Module):
    """The generator: speech and a face to the same face, speaking.

    `logits(mel, faces)` and `forward` take mel float [B, 1, 80, 16] in -4..4 and faces float [B, 6, 96, 96]
    in 0..1 (BGR of the face with its lower half black, then BGR of the whole face). `forward` returns BGR
    float [B, 3, 96, 96] in 0..1.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        self.face_encoder_blocks = nn.ModuleList(blocks(block, variant) for block in _FACE_ENCODER)
        self.audio_encoder = blocks(_AUDIO_ENCODER, variant)
        self.face_decoder_blocks = nn.ModuleList(blocks((layer,), variant) for layer in _FACE_DECODER)
        output = _scaled(_OUTPUT, variant.width)
        self.output_block = nn.Sequential(ConvBlock(output), nn.Conv2d(output.outputs, 3, 1), nn.Sigmoid())

    @property
    def final(self) -> nn.Conv2d:
        """The convolution to three channels, which has no BatchNorm."""
        final = self.output_block[1]
        assert isinstance(final, nn.Conv2d)
        return final

    @property
    def feature_channels(self) -> list[int]:
        """Channels of what each decoder block gives."""
        last = [list(block.children())[-1] for block in self.face_decoder_blocks]
        return [block.conv.out_channels for block in last if isinstance(block, ConvBlock)]

    def features_and_logits(self, mel: Tensor, faces: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return what the seven decoder blocks give, before an encoder's is set beside it, and the logits."""
        skips, features = [], []
        for encode in self.face_encoder_blocks:
            faces = encode(faces)
            skips.append(faces)
        x: Tensor = self.audio_encoder(mel)
        for decode in self.face_decoder_blocks:
            features.append(decode(x))
            x = torch.cat((features[-1], skips.pop()), dim=1)
        return features, self.output_block[:2](x)

    def logits(self, mel: Tensor, faces: Tensor) -> Tensor:
        return self.features_and_logits(mel, faces)[1]

    def forward(self, mel: Tensor, faces: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(mel, faces))
