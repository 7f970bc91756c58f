"""The interface of transports: calls, expected outputs, and tensors in messages."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from lipserve.errors import InternalError
from lipserve_client._connection import Connection

Value = bytes | NDArray[Any]
"""A tensor: `bytes` is a BYTES tensor of one element, an array of objects one of several."""

Answer = dict[str, Value]

_MOST_DIMS = 8


@dataclass(frozen=True)
class Expected:
    """An expected output: its dtype, and its approximate size in bytes (0: small)."""

    dtype: str = "BYTES"
    size: int = 0


@dataclass(frozen=True)
class Call:
    """One call of a model.

    Attributes:
        inputs: by tensor name.
        outputs: the wanted ones, by tensor name.
    """

    model: str
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Expected]


class Transport(ABC):
    """Carries calls over one connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def reach(self) -> None:
        """Return once the server accepts calls; raise ConnectError promptly where it does not."""
        await self.connection.reach()

    @abstractmethod
    async def infer(self, call: Call, timeout: float) -> Answer:
        """Return the outputs of `call`, BYTES ones as `bytes`; raise a typed error of lipserve.errors."""

    async def close(self) -> None:  # noqa: B027  most transports hold nothing
        """Release the transport's memory at the server."""


def as_array(value: Value) -> NDArray[Any]:
    """Return a tensor as an array: one of objects where it is BYTES."""
    return np.array([value], np.object_) if isinstance(value, bytes) else value


def dtype_of(value: Value) -> str:
    """Return Triton's name of the type of `value`."""
    return str(np_to_triton_dtype(as_array(value).dtype))


def serialised_size(value: Value) -> int:
    """Return how many bytes `value` takes as Triton serialises it: each element of BYTES after its length."""
    array = as_array(value)
    return sum(len(element) + 4 for element in array) if array.dtype == np.object_ else array.nbytes


def describe(name: str, value: Value) -> InferInput:
    """Return Triton's description of an input, without its content."""
    return InferInput(name, list(as_array(value).shape), dtype_of(value))


def in_message(name: str, value: Value) -> InferInput:
    """Return an input whose content travels in the message."""
    return describe(name, value).set_data_from_numpy(as_array(value))


def wanted(name: str) -> InferRequestedOutput:
    return InferRequestedOutput(name)


def from_message(result: InferResult, name: str, expected: Expected) -> Value:
    """Return an output from a message; InternalError if it is not as expected."""
    response = result.get_response()
    for output, content in zip(response.outputs, response.raw_output_contents, strict=False):
        if output.name == name:
            return tensor(output, content, expected)
    # Triton answers so where a Python model named its output wrongly.
    raise InternalError(f"The answer holds no tensor {name!r}.", "Search the server's log for this name.")


def tensor(output: Any, content: bytes, expected: Expected) -> Value:
    """Return an output from the bytes that a server gave for it; InternalError where they are not it.

    Args:
        output: Triton's description.
    """
    shape = tuple(int(size) for size in output.shape)
    form = f"{output.datatype[:40]} {list(shape[:10])} in {len(content)} bytes"
    refusal = InternalError(
        f"The answer's tensor {output.name[:80]} cannot be read: it is {form}, not {expected.dtype}.",
        "Check that client and server are of one version.",
    )
    if output.datatype != expected.dtype or len(shape) > _MOST_DIMS or min(shape, default=1) < 0:
        raise refusal
    if expected.dtype == "BYTES":
        if math.prod(shape) != 1 or len(content) != 4 + int.from_bytes(content[:4], "little"):
            raise refusal
        return content[4:]
    dtype = np.dtype(triton_to_np_dtype(expected.dtype))
    if math.prod(shape) * dtype.itemsize != len(content):
        raise refusal
    return np.frombuffer(content, dtype).reshape(shape)
