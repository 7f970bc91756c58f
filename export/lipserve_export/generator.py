"""The fast tier's generator leaf: masking, colour order, scaling, the network and rounding in one graph."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import nn

from lipserve.contracts import MEL_BINS, MEL_COLUMNS, WAV2LIP_GENERATOR, WAV2LIP_SIZE, Model
from lipserve.contracts import Tensor as Signature
from lipserve_export.fold import folded
from lipserve_export.graph import NETWORK, Graph
from lipserve_export.models.wav2lip import ConvBlock, Variant, Wav2Lip

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
    """Return a generator of seeded random weights whose output is a varied picture, never a constant.

    BatchNorm takes its statistics from seeded noise and the last layer is scaled to give the logits a
    standard deviation of 1.5 around 0, so that every level of brightness appears.
    """
    source = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=source)

    model = Wav2Lip(variant)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.weight.copy_(torch.randn(module.weight.shape, generator=source))
                module.weight.mul_((2 / module.weight[0].numel()) ** 0.5)
                if module.bias is not None:
                    module.bias.copy_(0.1 * noise(*module.bias.shape) - 0.05)
            elif isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # statistics are the plain mean over the batches seen
                module.weight.copy_(0.5 + noise(*module.weight.shape))
                module.bias.copy_(noise(*module.bias.shape) - 0.5)
        coarse = torch.nn.functional.interpolate(noise(8, 6, 12, 12), scale_factor=8, mode="bilinear")
        mel = 8 * noise(8, 1, MEL_BINS, MEL_COLUMNS) - 4
        model.train().logits(mel, coarse)
        logits = model.eval().logits(mel, coarse)
        last = model.output_block[1]
        last.weight.mul_(1.5 / logits.std())
        last.bias.sub_(logits.mean(dim=(0, 2, 3))).mul_(1.5 / logits.std())
    return model


def _network(graph: Graph, model: Wav2Lip, mel: str, faces: str) -> str:
    """Add the layers in the order of `Wav2Lip.logits`; return RGB logits [B, 3, 96, 96]."""
    skips = []
    for number, encode in enumerate(model.face_encoder_blocks):
        faces = _blocks(graph, encode, faces, swap_inputs=number == 0)
        skips.append(faces)
    x = _blocks(graph, model.audio_encoder, mel)
    for decode in model.face_decoder_blocks:
        x = graph.op("Concat", _blocks(graph, decode, x), skips.pop(), axis=1)
    hidden, last = model.output_block[0], model.output_block[1]
    x = _block(graph, hidden, x)
    weight, bias = (value.detach()[_BGR] for value in (last.weight, last.bias))  # RGB out
    return graph.op(
        "Conv", x, *(graph.constant(value.numpy()) for value in (weight, bias)), kernel_shape=[1, 1]
    )


def _blocks(graph: Graph, blocks: nn.Module, x: str, swap_inputs: bool = False) -> str:
    for number, block in enumerate(blocks.children()):
        x = _block(graph, block, x, swap_inputs and number == 0)
    return x


def _block(graph: Graph, block: nn.Module, x: str, swap_inputs: bool = False) -> str:
    assert isinstance(block, ConvBlock)
    conv, norm = block.conv_block
    weight, bias = folded(conv, norm)
    if swap_inputs:  # RGB in, where the network learnt BGR: the same sums in another order
        weight = weight[:, [*_BGR, *(3 + channel for channel in _BGR)]]
    attributes = {
        "kernel_shape": list(conv.kernel_size),
        "strides": list(conv.stride),
        "pads": list(conv.padding) * 2,
    }
    kind = "Conv"
    if isinstance(conv, nn.ConvTranspose2d):
        kind, attributes["output_padding"] = "ConvTranspose", list(conv.output_padding)
    y = graph.op(kind, x, *(graph.constant(value.numpy()) for value in (weight, bias)), **attributes)
    return graph.op("Relu", graph.op("Add", y, x) if block.residual else y)
