"""A request as it comes over the wire: read without believing any of it, and without copying its tensors.

Triton 24.10 believes what a request declares. A shape whose size overflows ends the process that reads it,
and a classification that is asked of text ends Triton. What passes here declares what it brings, and asks
for nothing but tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from lipserve.errors import InputError, LimitError

MAX_HEADER = 1 << 20  # bytes of everything but the tensors' own
MAX_ITEMS = 64  # inputs, outputs, or parameters of one of them

_RAW = service_pb2.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number
_SIZES = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4,
    "INT64": 8, "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8,
}  # fmt: skip
_TEXT_LENGTH = 4  # bytes before each element of BYTES
_OUTPUT_PARAMETERS = frozenset(
    {"shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "binary_data"}
)
_FIXED = {1: 8, 5: 4}  # bytes of a field, by its wire type


@dataclass(frozen=True)
class Message:
    """One request of a model.

    Attributes:
        header: the request without its tensors' bytes.
        tensors: their bytes, views of the message that came.
    """

    header: service_pb2.ModelInferRequest
    tensors: tuple[memoryview, ...]

    @property
    def model(self) -> str:
        return str(self.header.model_name)

    def text(self, name: str) -> memoryview | None:
        """Return the one element of an input of BYTES; None where it has not come in the message."""
        left = iter(self.tensors)
        for tensor in self.header.inputs:
            if "shared_memory_region" in tensor.parameters or tensor.HasField("contents"):
                continue
            content = next(left)
            if tensor.name == name and tensor.datatype == "BYTES":
                return content[_TEXT_LENGTH:]
        return None

    def forwarded(self, caller: str, parameter: str) -> bytes:
        """Return the request written anew, with one parameter more: its caller's name."""
        self.header.parameters[parameter].string_param = caller
        key = _RAW << 3 | 2
        parts: list[bytes | memoryview] = [self.header.SerializeToString()]
        for tensor in self.tensors:
            parts += (_encoded(key), _encoded(len(tensor)), tensor)
        return b"".join(parts)


def read(message: bytes) -> Message:
    """Return a request that is safe to forward.

    Raises:
        InputError: it is none, or declares what it does not bring; LimitError: it has too many parts.
    """
    rest, tensors = _split(memoryview(message))
    try:
        header = service_pb2.ModelInferRequest.FromString(bytes(rest))
    except DecodeError as error:
        raise _malformed() from error
    _check_counts(header, len(tensors))
    left = iter(tensors)
    for tensor in header.inputs:
        _check_input(tensor, left)
    if next(left, None) is not None:
        raise InputError("The request brings more tensors than it names.", "Send one for each input.")
    for output in header.outputs:
        _check_output(output)
    return Message(header, tuple(tensors))


def _split(view: memoryview) -> tuple[bytearray, list[memoryview]]:
    """Return the request's fields without `raw_input_contents`, and those."""
    rest, tensors, position = bytearray(), [], 0
    while position < len(view):
        begin = position
        key, position = _varint(view, position)
        field, kind = key >> 3, key & 7
        size = _FIXED.get(kind, 0)
        if kind == 2:
            size, position = _varint(view, position)
        elif kind == 0:
            _, position = _varint(view, position)
        elif kind not in _FIXED:
            raise _malformed()
        end = position + size
        if end > len(view) or (field == _RAW and kind != 2):
            raise _malformed()
        if field == _RAW:
            tensors.append(view[position:end])
        else:
            rest += view[begin:end]
        position = end
        if len(rest) > MAX_HEADER or len(tensors) > MAX_ITEMS:
            raise LimitError(
                "The request has too many parts, or is too long beside its tensors.",
                f"Send at most {MAX_ITEMS} tensors, their values in raw_input_contents.",
            )
    return rest, tensors


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    """Return a number of at most 32 bits (all that a request's fields have) and where it ends."""
    value = 0
    for count in range(5):
        if position + count >= len(view):
            break
        byte = view[position + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, position + count + 1
    raise _malformed()


def _encoded(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _check_counts(header: service_pb2.ModelInferRequest, tensors: int) -> None:
    holders = (header, *header.inputs, *header.outputs)
    counts = [len(header.inputs), len(header.outputs), tensors, *(len(held.parameters) for held in holders)]
    if max(counts) > MAX_ITEMS:
        raise LimitError(
            "The request has too many inputs, outputs or parameters.", f"Send at most {MAX_ITEMS} of each."
        )
    for kind, entries in (("input", header.inputs), ("output", header.outputs)):
        names = [entry.name for entry in entries]
        if len(set(names)) < len(names):
            raise InputError(f"The request names an {kind} twice.", f"Name each {kind} once.")


def _check_input(tensor: service_pb2.ModelInferRequest.InferInputTensor, left: Iterator[memoryview]) -> None:
    """Raise where a tensor's shape is not the size of what it brings: in numbers that cannot overflow."""
    if any(size < 0 for size in tensor.shape) or len(tensor.shape) > MAX_ITEMS:
        raise _misfit(tensor, "sizes below 0, or too many")
    count = math.prod(tensor.shape)
    if "shared_memory_region" in tensor.parameters:
        given = tensor.parameters["shared_memory_byte_size"].int64_param
    elif tensor.HasField("contents"):
        if count != sum(len(values) for _, values in tensor.contents.ListFields()):
            raise _misfit(tensor, "another number of values")
        return
    else:
        given = len(next(left, b""))
    if tensor.datatype == "BYTES":
        fits = given >= count * _TEXT_LENGTH
    else:
        fits = given == count * _SIZES.get(tensor.datatype, -1)
    if not fits:
        raise _misfit(tensor, f"{given} bytes")


def _check_output(output: service_pb2.ModelInferRequest.InferRequestedOutputTensor) -> None:
    unknown = sorted(set(output.parameters) - _OUTPUT_PARAMETERS)
    if unknown:
        raise InputError(
            f"The output {output.name[:64]!r} is asked for with {unknown[0][:64]!r}, which no model has.",
            "Ask for the tensor itself.",
        )


def _misfit(tensor: service_pb2.ModelInferRequest.InferInputTensor, what: str) -> InputError:
    shape = ", ".join(map(str, list(tensor.shape)[:8]))
    return InputError(
        f"The input {tensor.name[:64]!r} is declared as {tensor.datatype[:16]} [{shape}] and brings {what}.",
        "Declare each tensor as it is sent.",
    )


def _malformed() -> InputError:
    return InputError("The request cannot be read.", "Send a ModelInferRequest of Triton's protocol.")
