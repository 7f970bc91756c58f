"""Explicit INT8: what calibration finds out of a graph, and graphs in which some convolutions are INT8.

ONNX Runtime measures every convolution once. Any choice of layers is then put together
without it: QuantizeLinear and DequantizeLinear stand before each chosen convolution and on its weight, the
biases, the skip connections and all else stay as they are. This is the form that TensorRT asks for: INT8,
symmetric, weights per output channel, and no quantised bias, which its parser refuses.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime import quantization

from lipserve.errors import StorageError
from lipserve_training.quantize.crops import Crops

Method = Literal["minmax", "entropy", "percentile"]

OPSET = 19  # the first whose QuantizeLinear and DequantizeLinear take half precision
_CONVOLUTIONS = ["Conv", "ConvTranspose"]
_METHODS = {
    "minmax": quantization.CalibrationMethod.MinMax,
    "entropy": quantization.CalibrationMethod.Entropy,
    "percentile": quantization.CalibrationMethod.Percentile,
}
_SETTINGS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    "DedicatedQDQPair": True,
    "OpTypesToExcludeOutputQuantization": _CONVOLUTIONS,
}
_CALIBRATION: dict[Method, dict[str, int | float]] = {
    "minmax": {},
    "entropy": {"num_bins": 512, "num_quantized_bins": 128},  # ONNX Runtime's 128 and 128 leave no choice
    "percentile": {"percentile": 99.999},
}


@dataclass(frozen=True)
class Int8:
    """One convolution in INT8; every number is its integer times its scale.

    Attributes:
        input_scale: float32, of what it reads.
        weight: int8, laid out as the convolution's own.
        weight_scale: float32 [O], one for each output channel, which is axis `axis` of the weight.
    """

    input_scale: NDArray[np.float32]
    weight: NDArray[np.int8]
    weight_scale: NDArray[np.float32]
    axis: int


def calibrate(graph: onnx.ModelProto, crops: Crops, method: Method) -> dict[str, Int8]:
    """Return each convolution's INT8 form, by the names of the nodes of a float32 graph.

    Args:
        method: which range of what a layer reads is kept: all of it, the one that loses the least
            information (entropy), or all but the outermost 0.001 %.

    Raises:
        StorageError: the folder for temporary files is full.
    """
    try:
        ranges = _ranges(graph, crops, method)
    except OSError as error:
        raise StorageError(
            f"Temporary files cannot be written to {tempfile.gettempdir()}: {error.strerror}.",
            "Free some space there, or set TMPDIR to another folder, and run the command again.",
        ) from error
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    quantizer = quantization.QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=False,
        weight_qType=quantization.QuantType.QInt8,
        activation_qType=quantization.QuantType.QInt8,
        tensors_range=ranges,
        nodes_to_quantize=[],
        nodes_to_exclude=[],
        op_types_to_quantize=_CONVOLUTIONS,
        extra_options=_SETTINGS,
    )
    quantizer.quantize_model()
    return _read(quantizer.model.model)


def _ranges(graph: onnx.ModelProto, crops: Crops, method: Method) -> quantization.TensorsData:
    """Return the range of every value that a convolution reads or gives, in the quantiser's own form."""
    with tempfile.TemporaryDirectory(prefix="lipserve-quantize-") as folder:
        source, watched = Path(folder) / "float.onnx", Path(folder) / "watched.onnx"
        onnx.save(graph, source)
        calibrator = quantization.create_calibrator(
            source,
            _CONVOLUTIONS,
            augmented_model_path=str(watched),
            calibrate_method=_METHODS[method],
            extra_options=_CALIBRATION[method],
        )
        with contextlib.redirect_stdout(io.StringIO()):  # the calibrators print how they get on
            for batch in crops.batches():  # each on its own: what is held of it until it is counted is large
                calibrator.collect_data(_Reader(batch))
            return calibrator.compute_data()


def mixed(graph: onnx.ModelProto, int8: Mapping[str, Int8]) -> onnx.ModelProto:
    """Return a float32 graph with the given convolutions in INT8, its signature kept."""
    nodes: list[onnx.NodeProto] = []
    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    for node in graph.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        if node.name in int8:
            for tensor in _tensors(node.name, int8[node.name]):
                constants[tensor.name] = tensor
            nodes += _before(node, int8[node.name].axis)
            copy.input[:2] = [f"{node.name}/input", f"{node.name}/weight"]
        nodes.append(copy)
    used = {name for node in nodes for name in node.input}
    out = onnx.ModelProto()
    out.CopyFrom(graph)
    del out.graph.node[:], out.graph.initializer[:]
    out.graph.node.extend(nodes)
    out.graph.initializer.extend(tensor for name, tensor in constants.items() if name in used)
    out.opset_import[0].version = OPSET
    onnx.checker.check_model(out, full_check=True)
    return out


def _tensors(name: str, form: Int8) -> list[onnx.TensorProto]:
    values: dict[str, NDArray[Any]] = {
        "input_scale": form.input_scale,
        "input_zero": np.zeros((), np.int8),
        "weight_int8": form.weight,
        "weight_scale": form.weight_scale,
        "weight_zero": np.zeros(len(form.weight_scale), np.int8),
    }
    return [numpy_helper.from_array(value, f"{name}/{key}") for key, value in values.items()]


def _before(node: onnx.NodeProto, axis: int) -> list[onnx.NodeProto]:
    """Return the nodes that give a convolution its input and its weight out of integers."""
    name = node.name
    scale, zero = f"{name}/input_scale", f"{name}/input_zero"
    rounded, restored, weight = f"{name}/input_int8", f"{name}/input", f"{name}/weight"
    weights = [f"{name}/weight_int8", f"{name}/weight_scale", f"{name}/weight_zero"]
    return [
        helper.make_node(
            "QuantizeLinear", [node.input[0], scale, zero], [rounded], name=f"{restored}/QuantizeLinear"
        ),
        helper.make_node(
            "DequantizeLinear", [rounded, scale, zero], [restored], name=f"{restored}/DequantizeLinear"
        ),
        helper.make_node("DequantizeLinear", weights, [weight], name=f"{weight}/DequantizeLinear", axis=axis),
    ]


def _read(quantized: onnx.ModelProto) -> dict[str, Int8]:
    """Return the scales and the weights that the quantiser put into its graph."""
    values = {tensor.name: tensor for tensor in quantized.graph.initializer}
    made = {name: node for node in quantized.graph.node for name in node.output}
    found = {}
    for node in quantized.graph.node:
        if node.op_type in _CONVOLUTIONS:
            read, weight = made[node.input[0]], made[node.input[1]]
            integers, scales = (numpy_helper.to_array(values[name]) for name in weight.input[:2])
            axis = next(attribute.i for attribute in weight.attribute if attribute.name == "axis")
            input_scale = numpy_helper.to_array(values[read.input[1]])
            found[node.name] = Int8(input_scale, integers, scales, int(axis))
    return found


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    """One batch, in the form in which a calibrator asks for it."""

    def __init__(self, batch: dict[str, NDArray[Any]]) -> None:
        self._batches = iter([batch])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._batches, None)
