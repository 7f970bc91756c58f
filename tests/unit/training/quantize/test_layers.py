from __future__ import annotations

import onnx
import pytest
from onnx import numpy_helper

from lipserve_export.wav2lip.generator import wav2lip_generator
from lipserve_export.wav2lip.network import VARIANTS, Wav2Lip
from lipserve_training.quantize.layers import Layer, layers, paper, saving


def test_the_compressed_generator_has_23_in_the_order_of_execution(
    convolutions: tuple[Layer, ...], graph: onnx.ModelProto
) -> None:
    assert len(convolutions) == 23
    assert [layer.name for layer in convolutions[:2]] == [
        "face_encoder_blocks.0.0",
        "face_encoder_blocks.1.0",
    ]
    assert [layer.name for layer in convolutions[8:15:6]] == ["audio_encoder.0", "face_decoder_blocks.0.0"]
    assert [layer.label for layer in convolutions[-3:]] == ["decoder 6.0", "output 0", "output 1"]
    assert [layer.transposed for layer in convolutions] == [False] * 15 + [True] * 6 + [False] * 2
    assert sum(layer.macs for layer in convolutions) == pytest.approx(0.0750e9, rel=1e-3)
    assert convolutions[0].macs == 96 * 96 * 4 * 6 * 49
    assert convolutions[15].macs == 256 * 128 * 9  # one input pixel


def test_a_layer_and_its_node_have_the_same_weight(
    convolutions: tuple[Layer, ...], graph: onnx.ModelProto, generator: Wav2Lip
) -> None:
    weights = {tensor.name: numpy_helper.to_array(tensor).shape for tensor in graph.graph.initializer}
    nodes = {node.name: node for node in graph.graph.node}
    state = generator.state_dict()
    for layer in convolutions:
        learnt = state.get(f"{layer.name}.conv_block.0.weight", state.get(f"{layer.name}.weight"))
        assert learnt is not None
        assert weights[nodes[layer.node].input[1]] == tuple(learnt.shape)


def test_the_paper_keeps_the_output_block_of_the_compressed_generator_high(
    convolutions: tuple[Layer, ...],
) -> None:
    chosen = paper(VARIANTS["compressed"], convolutions)
    assert chosen == convolutions[:21]
    assert saving(chosen, convolutions) == pytest.approx(0.82, abs=0.005)
    assert saving((), convolutions) == 0
    assert saving(convolutions, convolutions) == 1


def test_the_paper_keeps_both_ends_of_the_original_high() -> None:
    model = Wav2Lip(VARIANTS["original"]).eval()
    found = layers(model, wav2lip_generator(model))
    assert len(found) == 51
    high = [layer.name for layer in found if layer not in paper(model.variant, found)]
    assert high == [
        *("face_encoder_blocks.0.0", "face_encoder_blocks.1.0", "face_encoder_blocks.1.1"),
        *("face_encoder_blocks.1.2", "face_decoder_blocks.6.0", "face_decoder_blocks.6.1"),
        *("face_decoder_blocks.6.2", "output_block.0", "output_block.1"),
    ]
