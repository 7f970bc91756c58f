"""Read a TFLite network: its operators, and its constants made float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray

from lipserve.errors import SetupError

_DTYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}
_OPERATORS = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
_OPTIONS = {
    "CONV_2D": tflite.Conv2DOptions,
    "DEPTHWISE_CONV_2D": tflite.DepthwiseConv2DOptions,
    "MAX_POOL_2D": tflite.Pool2DOptions,
    "ADD": tflite.AddOptions,
}


@dataclass(frozen=True)
class Operator:
    """One step: `inputs` and `outputs` are tensor indices, `options` the flatbuffer's typed table."""

    code: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


@dataclass(frozen=True)
class Network:
    """Operators in execution order; `shapes` (NHWC) of every tensor, `constants` by tensor index."""

    operators: tuple[Operator, ...]
    constants: dict[int, NDArray[Any]]
    shapes: dict[int, tuple[int, ...]]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(data: bytes) -> Network:
    """Return the only subgraph of a TFLite file, FP16 weights made float32."""
    if data[4:8] != b"TFL3":
        raise SetupError("This is not a TFLite file.", "Take it from the mediapipe wheel again.")
    model = tflite.Model.GetRootAsModel(data, 0)
    graph = model.Subgraphs(0)
    constants: dict[int, NDArray[Any]] = {}
    shapes: dict[int, tuple[int, ...]] = {}
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        shapes[index] = tuple(int(size) for size in np.atleast_1d(tensor.ShapeAsNumpy()))
        array = _constant(model, tensor, shapes[index])
        if array is not None:
            constants[index] = array
    operators = []
    for position in range(graph.OperatorsLength()):
        operator = _operator(model, graph.Operators(position))
        if operator.code == "DEQUANTIZE" and operator.inputs[0] in constants:
            constants[operator.outputs[0]] = constants[operator.inputs[0]]
        else:
            operators.append(operator)
    inputs = tuple(int(graph.Inputs(i)) for i in range(graph.InputsLength()))
    outputs = tuple(int(graph.Outputs(i)) for i in range(graph.OutputsLength()))
    return Network(tuple(operators), constants, shapes, inputs, outputs)


def _operator(model: Any, op: Any) -> Operator:
    entry = model.OperatorCodes(op.OpcodeIndex())
    # Old files have the code in the deprecated byte, new ones in the wide field.
    code = _OPERATORS[max(entry.BuiltinCode(), entry.DeprecatedBuiltinCode())]
    options = None
    if code in _OPTIONS and op.BuiltinOptions() is not None:
        table = op.BuiltinOptions()
        options = _OPTIONS[code]()
        options.Init(table.Bytes, table.Pos)
    inputs = tuple(int(op.Inputs(i)) for i in range(op.InputsLength()))
    outputs = tuple(int(op.Outputs(i)) for i in range(op.OutputsLength()))
    return Operator(code, inputs, outputs, options)


def _constant(model: Any, tensor: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    buffer = model.Buffers(tensor.Buffer())
    if buffer is None or buffer.DataLength() == 0:
        return None
    values = np.frombuffer(buffer.DataAsNumpy().tobytes(), _DTYPES[tensor.Type()]).reshape(shape)
    return values.astype(np.float32) if values.dtype == np.float16 else values
