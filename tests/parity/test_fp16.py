"""The FP16 form of every leaf against its FP32 form, on real faces."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto
from onnxruntime import InferenceSession

from lipserve_export.graphs.fp16 import to_fp16
from lipserve_export.graphs.parity import difference
from lipserve_export.graphs.rounding import rounded
from lipserve_export.graphs.runtime import run, session
from lipserve_export.wav2lip.parity import wav2lip_inputs

Image = NDArray[np.uint8]


def pair(graph: onnx.ModelProto) -> tuple[InferenceSession, InferenceSession]:
    """Sessions of a graph and of its FP16 form, which rounds between the layers as a GPU does."""
    half = ir.from_proto(onnx.shape_inference.infer_shapes(to_fp16(graph), strict_mode=True))
    return session(graph), session(ir.to_proto(rounded(half)))


def close(half: NDArray[np.generic], full: NDArray[np.generic]) -> None:
    found = difference(half, full)
    assert found.cosine >= 0.9999
    assert 0 < found.relative_rms <= 1e-2


def test_only_the_network_is_half_and_the_signature_is_kept(leaf_graph: onnx.ModelProto) -> None:
    half = to_fp16(leaf_graph)
    assert [value.SerializeToString() for value in (*half.graph.input, *half.graph.output)] == [
        value.SerializeToString() for value in (*leaf_graph.graph.input, *leaf_graph.graph.output)
    ]
    types = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    inferred = onnx.shape_inference.infer_shapes(half, strict_mode=True).graph
    types |= {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    for node in half.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            assert {types[name] for name in (*node.input, *node.output)} == {TensorProto.FLOAT16}
        elif node.op_type in ("Sigmoid", "Tanh", "Round", "Exp", "Sqrt", "TopK"):
            assert types[node.input[0]] == TensorProto.FLOAT
    assert len(half.SerializeToString()) < 0.75 * len(leaf_graph.SerializeToString())


def test_the_detector(
    yunet_graph: onnx.ModelProto, letterbox: Callable[[Image], Image], picture: Image
) -> None:
    full, half = pair(yunet_graph)
    image = letterbox(picture)[None]
    expected, found = (run(running, {"IMAGES": image}) for running in (full, half))
    close(found["SCORES"], expected["SCORES"])
    # The order of near-equal candidates may change: each is compared with the one that lies where it lies.
    sure = expected["SCORES"][0] > 0.6
    assert sure.any()
    for box, eyes in zip(expected["BOXES"][0][sure], expected["EYES"][0][sure], strict=True):
        match = int(np.abs(found["BOXES"][0] - box).max(axis=1).argmin())
        close(found["BOXES"][0, match], box)
        close(found["EYES"][0, match], eyes)


def test_the_landmarks(
    mesh_graph: onnx.ModelProto, face: Image, resize: Callable[[Image, int], Image]
) -> None:
    full, half = pair(mesh_graph)
    image = resize(face, 192)[None]
    expected, found = (run(running, {"IMAGES": image}) for running in (full, half))
    close(found["LANDMARKS"], expected["LANDMARKS"])
    assert np.abs(found["LANDMARKS"] - expected["LANDMARKS"]).max() < 0.5  # pixels of 192
    np.testing.assert_allclose(found["SCORES"], expected["SCORES"], atol=1e-3)


def test_the_generator(generator_graph: onnx.ModelProto, face: Image) -> None:
    full, half = pair(generator_graph)
    faces = np.stack([cv2.resize(face, (96, 96), interpolation=cv2.INTER_AREA)] * 4)
    inputs = {"MEL": wav2lip_inputs(4)[0], "FACES": faces}
    expected, found = (run(running, inputs)["GENERATED"] for running in (full, half))
    close(found, expected)


def test_the_renderer(renderer_graph: onnx.ModelProto, face: Image) -> None:
    full, half = pair(renderer_graph)
    current = cv2.resize(face, (96, 96), interpolation=cv2.INTER_AREA)
    lips = np.zeros((96, 96, 2), np.uint8)
    for channel, size in enumerate(((18, 8), (26, 16))):
        lips[..., channel] = cv2.ellipse(np.zeros((96, 96)), (48, 50), size, 0, 0, 360, 255.0, -1)
    inputs = {"CURRENT": current[None], "MEMORY": current[None, :, ::-1], "LIPS": lips[None]}
    expected, found = (run(running, inputs) for running in (full, half))
    close(found["FLOW"], expected["FLOW"])
    assert np.abs(found["FLOW"] - expected["FLOW"]).max() < 0.01  # pixels
    for name in ("BLEND", "PAINT"):
        levels = np.abs(found[name].astype(int) - expected[name])
        assert levels.max() <= 1  # a value near the edge of a level
        assert levels.mean() < 0.05
        assert expected[name].std() > 10
