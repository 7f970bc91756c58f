"""INT8 generators through NVIDIA's parser and builder for SM80: which layers became INT8, by its log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import cv2
import numpy as np
import onnx
import pytest
from skimage.data import astronaut

from lipserve_export.graphs.fp16 import to_fp16
from lipserve_export.wav2lip.generator import random_generator, wav2lip_generator
from lipserve_export.wav2lip.network import VARIANTS, Wav2Lip
from lipserve_export.wav2lip.parity import wav2lip_inputs
from lipserve_training.quantize.crops import Crops
from lipserve_training.quantize.layers import Layer, layers, paper
from lipserve_training.quantize.qdq import Int8, calibrate, mixed
from lipserve_training.quantize.report import check

pytest.importorskip("tensorrt_rtx", reason="install lipserve[rtx]")

HIGH = {"fp32": "Float", "fp16": "Half"}
Types = Callable[[tuple[Layer, ...], str], list[str]]


def faces(count: int) -> Crops:
    """Crops of a real face, each a little further on."""
    cut = [astronaut()[40 + 2 * i : 190 + 2 * i, 150:300] for i in range(count)]
    small = np.stack([cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA) for image in cut])
    return Crops(wav2lip_inputs(count)[0], small.astype(np.uint8), ("astronaut",))


@pytest.fixture(scope="module")
def generator() -> Wav2Lip:
    return random_generator(VARIANTS["compressed"], 1)


@pytest.fixture(scope="module")
def graph(generator: Wav2Lip) -> onnx.ModelProto:
    return wav2lip_generator(generator)


@pytest.fixture(scope="module")
def convolutions(generator: Wav2Lip, graph: onnx.ModelProto) -> tuple[Layer, ...]:
    return layers(generator, graph)


@pytest.fixture(scope="module")
def int8(graph: onnx.ModelProto) -> dict[str, Int8]:
    return calibrate(graph, faces(8), "minmax")


def engine_types(
    graph: onnx.ModelProto,
    int8: dict[str, Int8],
    chosen: Sequence[Layer],
    of: tuple[Layer, ...],
    precision: str,
) -> list[str]:
    """Return what each convolution reads in the engine of a mixed graph, in the order of execution."""
    full = mixed(graph, {layer.node: int8[layer.node] for layer in chosen})
    made = to_fp16(full) if precision == "fp16" else full
    engine = check(made.SerializeToString(), of, "sm80")
    assert engine.plan_bytes > 1e6
    return [engine.reads[layer.name] for layer in of]


@pytest.fixture(scope="module")
def types(graph: onnx.ModelProto, int8: dict[str, Int8], convolutions: tuple[Layer, ...]) -> Types:
    """Return `engine_types` of the compressed generator; no engine is built twice."""
    return cache(lambda chosen, precision: engine_types(graph, int8, chosen, convolutions, precision))


def expected(chosen: Sequence[Layer], of: Sequence[Layer], precision: str) -> list[str]:
    """TensorRT for RTX turns the INT8 weights of transposed convolutions back and runs those high."""
    return ["Int8" if layer in chosen and not layer.transposed else HIGH[precision] for layer in of]


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_convolutions_become_int8_and_transposed_ones_do_not(
    types: Types, convolutions: tuple[Layer, ...], precision: str
) -> None:
    found = types(convolutions, precision)
    assert found == expected(convolutions, convolutions, precision)
    assert (found.count("Int8"), found.count(HIGH[precision])) == (17, 6)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_layers_that_the_paper_keeps_in_high_precision_stay_there(
    types: Types, convolutions: tuple[Layer, ...], precision: str
) -> None:
    chosen = paper(VARIANTS["compressed"], convolutions)
    found = types(chosen, precision)
    assert found == expected(chosen, convolutions, precision)
    assert found[-2:] == [HIGH[precision]] * 2
    assert found.count("Int8") == 15


@pytest.mark.slow
@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.whole)])
@pytest.mark.parametrize("precision", ["fp16", pytest.param("fp32", marks=pytest.mark.whole)])
def test_every_boundary_builds(
    types: Types, convolutions: tuple[Layer, ...], precision: str, step: int
) -> None:
    for boundary in sorted({*range(0, len(convolutions), step), len(convolutions)}):
        chosen = convolutions[:boundary]
        found = types(chosen, precision)
        assert found == expected(chosen, convolutions, precision), boundary


@pytest.mark.slow
def test_a_mixture_that_is_no_boundary_builds(types: Types, convolutions: tuple[Layer, ...]) -> None:
    chosen = convolutions[1::2]
    found = types(chosen, "fp16")
    assert found == expected(chosen, convolutions, "fp16")


@pytest.mark.slow
@pytest.mark.parametrize("which", ["paper's", pytest.param("all", marks=pytest.mark.whole)])
def test_the_original_with_its_residual_layers_builds(which: str) -> None:
    model = random_generator(VARIANTS["original"], 1)
    graph = wav2lip_generator(model)
    found = layers(model, graph)
    int8 = calibrate(graph, faces(2), "minmax")
    chosen = found if which == "all" else paper(model.variant, found)
    built = engine_types(graph, int8, chosen, found, "fp16")
    assert built == expected(chosen, found, "fp16")
