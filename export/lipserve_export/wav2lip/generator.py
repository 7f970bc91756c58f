"""The fast tier's generator leaf: masking, colour order, scaling, the network and rounding in one graph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import nn

from lipserve.contracts import MEL_BINS, MEL_COLUMNS, WAV2LIP_GENERATOR, WAV2LIP_SIZE, Model
from lipserve.contracts import Tensor as Signature
from lipserve_export.graphs.fold import folded
from lipserve_export.graphs.graph import NETWORK, Graph
from lipserve_export.wav2lip.network import ConvBlock, Variant, Wav2Lip

_BGR = [2, 1, 0]

NETWORK_CONTRACT = Model(
    name="wav2lip_network",
    kind="leaf",
    inputs=(
        Signature("MEL", "FP32", (1, MEL_BINS, MEL_COLUMNS)),
        Signature("FACES", "FP32", (6, WAV2LIP_SIZE, WAV2LIP_SIZE)),  # RGB 0..1: masked, then whole
    ),
    outputs=(Signature("GENERATED", "FP32", (3, WAV2LIP_SIZE, WAV2LIP_SIZE)),),  # RGB 0..1
)
"""The bare network, RGB: what is compared with PyTorch before rounding hides anything."""


def wav2lip_generator(model: Wav2Lip) -> onnx.ModelProto:
    """Return the graph of the contract WAV2LIP_GENERATOR around a loaded generator.

    The lower half of the face (rows 48 to 95) is blackened in the graph, as in training.
    """
    graph = Graph(WAV2LIP_GENERATOR)
    pixels = graph.op("Transpose", graph.cast("FACES", TensorProto.FLOAT), perm=[0, 3, 1, 2])
    whole = graph.op("Mul", pixels, graph.constant(np.array(1 / 255)))
    upper = graph.op(
        "Slice", whole, graph.constant([0]), graph.constant([WAV2LIP_SIZE // 2]), graph.constant([2])
    )
    below = graph.constant([0, 0, 0, 0, 0, 0, WAV2LIP_SIZE // 2, 0])
    masked = graph.op("Pad", upper, below, mode="constant")
    faces = graph.op("Concat", masked, whole, axis=1)
    with graph.scope(NETWORK):
        logits = _network(graph, model, "MEL", faces)
    levels = graph.op("Mul", graph.op("Sigmoid", logits), graph.constant(np.array(255.0)))
    rounded = graph.op("Transpose", graph.op("Round", levels), perm=[0, 2, 3, 1])
    graph.cast(rounded, TensorProto.UINT8, output="GENERATED")
    return graph.model()


def wav2lip_network(model: Wav2Lip) -> onnx.ModelProto:
    """Return the bare network, with the signature NETWORK_CONTRACT."""
    graph = Graph(NETWORK_CONTRACT)
    with graph.scope(NETWORK):
        logits = _network(graph, model, "MEL", "FACES")
    graph.op("Sigmoid", logits, output="GENERATED")
    return graph.model()


def random_generator(variant: Variant, seed: int) -> Wav2Lip:
    """Return a generator of seeded random weights whose output is a soft, varied picture.

    The kernels are mostly smooth, as is what a trained generator paints: the picture costs a video encoder
    about what a real one does. BatchNorm takes its statistics from seeded pictures and speech, and the last
    layer gives logits of mean 0 and standard deviation 1, so that every level of brightness appears.
    """
    source = torch.Generator().manual_seed(seed)
    model = Wav2Lip(variant)
    mel, faces = _plausible_inputs(source)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                _draw_kernel(module, source)
            elif isinstance(module, ConvBlock):
                norm = module.norm
                norm.momentum = None  # the statistics become the plain mean over the batches seen
                strength = 0.2 if module.residual else 1.0  # residual layers add up: each adds little
                norm.weight.copy_(strength * (0.5 + torch.rand(norm.weight.shape, generator=source)))
                norm.bias.copy_(strength * (torch.rand(norm.bias.shape, generator=source) - 0.5))
        model.train().logits(mel, faces)
        logits = model.eval().logits(mel, faces)
        spread = logits.std(dim=(0, 2, 3))
        weight, bias = model.final.parameters()
        weight.div_(spread.reshape(3, 1, 1, 1))
        bias.sub_(logits.mean(dim=(0, 2, 3))).div_(spread)
    return model


def _plausible_inputs(source: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return eight mels and masked and whole faces, soft and of every loudness, brightness and contrast."""

    def soft(channels: int, coarse: int, *size: int) -> torch.Tensor:
        level = torch.rand((8, channels, 1, 1), generator=source)
        detail = torch.rand((8, channels, coarse, coarse), generator=source) - 0.5
        contrast = torch.rand((8, 1, 1, 1), generator=source)
        return (level + contrast * nn.functional.interpolate(detail, size, mode="bicubic")).clamp(0, 1)

    whole = soft(3, 8, WAV2LIP_SIZE, WAV2LIP_SIZE)
    masked = whole.clone()
    masked[:, :, WAV2LIP_SIZE // 2 :] = 0
    return 8 * soft(1, 12, MEL_BINS, MEL_COLUMNS) - 4, torch.cat((masked, whole), dim=1)


def _draw_kernel(conv: nn.Conv2d | nn.ConvTranspose2d, source: torch.Generator) -> None:
    taps = conv.weight.shape[2]
    row = torch.tensor([math.comb(taps - 1, i) for i in range(taps)], dtype=torch.float32)
    smooth = row[:, None] * row / (row.sum() / min(taps, 2)) ** 2
    mixing = torch.randn((*conv.weight.shape[:2], 1, 1), generator=source) / conv.in_channels**0.5
    uneven = 1 + 0.2 * torch.randn(conv.weight.shape, generator=source)
    conv.weight.copy_(mixing * smooth * uneven)
    if conv.bias is not None:
        conv.bias.copy_(0.1 * torch.rand(conv.bias.shape, generator=source) - 0.05)


def _network(graph: Graph, model: Wav2Lip, mel: str, faces: str) -> str:
    """Add the layers in the order of `Wav2Lip.logits`; return RGB logits [B, 3, 96, 96]."""
    skips = []
    for number, encode in enumerate(model.face_encoder_blocks):
        faces = _blocks(graph, encode, faces, swap_inputs=number == 0)
        skips.append(faces)
    x = _blocks(graph, model.audio_encoder, mel)
    for decode in model.face_decoder_blocks:
        x = graph.op("Concat", _blocks(graph, decode, x), skips.pop(), axis=1)
    x = _block(graph, model.output_block[0], x)
    weight, bias = (value.detach()[_BGR] for value in model.final.parameters())  # RGB out
    return graph.op("Conv", x, graph.constant(weight.numpy()), graph.constant(bias.numpy()))


def _blocks(graph: Graph, blocks: nn.Module, x: str, swap_inputs: bool = False) -> str:
    for number, block in enumerate(blocks.children()):
        x = _block(graph, block, x, swap_inputs and number == 0)
    return x


def _block(graph: Graph, block: nn.Module, x: str, swap_inputs: bool = False) -> str:
    assert isinstance(block, ConvBlock)
    conv = block.conv
    weight, bias = folded(conv, block.norm)
    if swap_inputs:  # RGB in, where the network learnt BGR: the same sums in another order
        weight = weight[:, [*_BGR, *(3 + channel for channel in _BGR)]]
    attributes: dict[str, Any] = {
        "kernel_shape": list(conv.kernel_size),
        "strides": list(conv.stride),
        "pads": list(conv.padding) * 2,
    }
    kind = "Conv"
    if isinstance(conv, nn.ConvTranspose2d):
        kind, attributes["output_padding"] = "ConvTranspose", list(conv.output_padding)
    y = graph.op(kind, x, graph.constant(weight.numpy()), graph.constant(bias.numpy()), **attributes)
    return graph.op("Relu", graph.op("Add", y, x) if block.residual else y)
