"""A generator's convolutions in the order in which they run, and which of them the paper kept high."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import onnx
from torch import nn

from lipserve_export.graphs import counts
from lipserve_export.wav2lip.network import Variant, Wav2Lip

_COMPRESSED_HIGH = ("output_block.",)
_ORIGINAL_HIGH = (
    "face_encoder_blocks.0.",
    "face_encoder_blocks.1.",
    "face_decoder_blocks.6.",
    "output_block.",
)
_LABELS = {
    "face_encoder_blocks": "face",
    "audio_encoder": "audio",
    "face_decoder_blocks": "decoder",
    "output_block": "output",
}


@dataclass(frozen=True)
class Layer:
    """One convolution.

    Attributes:
        name: of its block, as in the state dict: `face_decoder_blocks.1.0`.
        node: of the graph that carries it out.
        macs: multiplications of one frame, a transposed convolution counted on its input grid.
    """

    name: str
    node: str
    transposed: bool
    macs: int

    @property
    def label(self) -> str:
        """A shorter name, for tables and plots: `decoder 1.0`."""
        kind, _, place = self.name.partition(".")
        return f"{_LABELS[kind]} {place}"


def layers(model: Wav2Lip, graph: onnx.ModelProto) -> tuple[Layer, ...]:
    """Return the convolutions of a generator and of its graph (`lipserve_export.wav2lip.generator`)."""
    names = [
        name.removesuffix(".conv_block.0")
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    transposed = {node.name: node.op_type == "ConvTranspose" for node in graph.graph.node}
    return tuple(
        Layer(name, node, transposed[node], counted.input_grid)
        for name, (node, counted) in zip(names, counts.layer_macs(graph).items(), strict=True)
    )


def paper(variant: Variant, of: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers that the compression paper (Kim et al., 2023) runs in INT8.

    It keeps the decoder's output block high in the compressed generator, and the first two encoder blocks
    and the last two decoder blocks in the original (which has residual layers); the output block is read as
    the last of the decoder's blocks.
    """
    high = _ORIGINAL_HIGH if variant.residual else _COMPRESSED_HIGH
    return tuple(layer for layer in of if not layer.name.startswith(high))


def saving(int8: Collection[Layer], of: Sequence[Layer]) -> float:
    """Return the share of all multiplications, 0..1, that are in the given layers."""
    return sum(layer.macs for layer in int8) / sum(layer.macs for layer in of)
