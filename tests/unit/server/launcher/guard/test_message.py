"""What a request declares is what it brings, or it goes no further."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from lipserve.errors import InputError, LimitError
from lipserve_server.launcher.guard.message import MAX_HEADER, MAX_ITEMS, read


def request(*inputs: tuple[str, list[int], bytes | None], **outputs: str) -> pb.ModelInferRequest:
    """Return a request of inputs (datatype, shape, bytes) and outputs that carry one parameter each."""
    made = pb.ModelInferRequest(model_name="m", id="7")
    for index, (dtype, shape, data) in enumerate(inputs):
        tensor = made.inputs.add(name=f"I{index}", datatype=dtype)
        tensor.shape.extend(shape)
        if data is not None:
            made.raw_input_contents.append(data)
    for name, parameter in outputs.items():
        made.outputs.add(name=name).parameters[parameter].int64_param = 1
    return made


def test_a_request_is_forwarded_as_it_came_and_with_its_callers_name() -> None:
    text = struct.pack("<I", 2) + b"ab"
    sent = request(("FP32", [2, 3], bytes(24)), ("BYTES", [1], text), ("UINT8", [0, 96], b""))
    sent.parameters["caller"].string_param = "forged"
    sent.parameters["other"].bool_param = True
    found = read(sent.SerializeToString())
    assert found.model == "m"
    assert [bytes(tensor) for tensor in found.tensors] == [bytes(24), text, b""]
    forwarded = pb.ModelInferRequest.FromString(found.forwarded("abc", "caller"))
    sent.parameters["caller"].string_param = "abc"
    assert forwarded == sent


def test_fields_in_another_order_are_the_same_request() -> None:
    sent = request(("UINT8", [3], b"abc"))
    tensors = pb.ModelInferRequest(raw_input_contents=[b"abc"]).SerializeToString()
    del sent.raw_input_contents[:]
    assert [bytes(tensor) for tensor in read(tensors + sent.SerializeToString()).tensors] == [b"abc"]


WRONG_SHAPES = [
    ("FP32", [2**62], b""),
    ("FP32", [2**62 + 1], bytes(4)),
    ("UINT8", [2**62, 2**62, 4, 3], b""),
    ("UINT8", [-(2**63), 96, 96, 3], b""),
    ("UINT8", [-1, -1], b"a"),
    ("INT32", [3], bytes(4)),
    ("INT32", [1], bytes(8)),
    ("BYTES", [2**62], b""),
    ("BYTES", [2], bytes(4)),
    ("NOPE", [1], bytes(4)),
    ("FP32", [1] * (MAX_ITEMS + 1), bytes(4)),
    ("FP32", [1], None),
]


@pytest.mark.parametrize("wrong", WRONG_SHAPES, ids=lambda wrong: f"{wrong[0]} {wrong[1]}"[:40])
def test_a_shape_that_is_not_the_size_of_its_bytes_is_refused(
    wrong: tuple[str, list[int], bytes | None],
) -> None:
    with pytest.raises(InputError, match=r"declared as|names"):
        read(request(wrong).SerializeToString())


@pytest.mark.parametrize(("shape", "size"), [([2**62], 0), ([2**62 + 1], 4), ([3], 16)])
def test_so_is_one_of_shared_memory(shape: list[int], size: int) -> None:
    sent = request(("FP32", shape, None))
    sent.inputs[0].parameters["shared_memory_region"].string_param = "r"
    sent.inputs[0].parameters["shared_memory_byte_size"].int64_param = size
    with pytest.raises(InputError, match="declared as"):
        read(sent.SerializeToString())
    sent.inputs[0].parameters["shared_memory_byte_size"].int64_param = 4 * shape[0] if shape[0] < 9 else 0
    if shape == [3]:
        read(sent.SerializeToString())


def test_values_beside_the_tensors_are_counted() -> None:
    sent = request(("FP32", [3], None))
    sent.inputs[0].contents.fp32_contents.extend([1, 2, 3])
    assert read(sent.SerializeToString()).header.inputs[0].contents.fp32_contents[2] == 3
    sent.inputs[0].shape[0] = 2**62
    with pytest.raises(InputError, match="declared as"):
        read(sent.SerializeToString())


@pytest.mark.parametrize("parameter", ["classification", "sequence_id", "x" * 10_000])
def test_nothing_but_a_tensor_can_be_asked_for(parameter: str) -> None:
    with pytest.raises(InputError, match="which no model has") as caught:
        read(request(REPORT=parameter).SerializeToString())
    assert len(str(caught.value)) < 300
    read(request(REPORT="shared_memory_byte_size").SerializeToString())


def test_a_name_stands_once() -> None:
    twice = request(("UINT8", [1], b"a"), ("UINT8", [1], b"b"))
    twice.inputs[1].name = "I0"
    with pytest.raises(InputError, match="input twice"):
        read(twice.SerializeToString())
    twice = request()
    for _ in range(2):
        twice.outputs.add(name="O")
    with pytest.raises(InputError, match="output twice"):
        read(twice.SerializeToString())


def test_more_tensors_than_inputs_are_refused() -> None:
    more = request(("UINT8", [1], b"a"))
    more.raw_input_contents.append(b"b")
    with pytest.raises(InputError, match="more tensors"):
        read(more.SerializeToString())


def test_many_parts_are_refused_before_they_are_read() -> None:
    many = request()
    many.raw_input_contents.extend([b""] * 100_000)
    with pytest.raises(LimitError):
        read(many.SerializeToString())
    for count in (MAX_ITEMS + 1, 5000):
        with pytest.raises(LimitError):
            read(request(*[("UINT8", [0], None)] * count).SerializeToString())
    long = request()
    long.parameters["p"].string_param = "x" * MAX_HEADER
    with pytest.raises(LimitError):
        read(long.SerializeToString())


@given(st.binary(max_size=64))
def test_garbage_is_refused_or_read(body: bytes) -> None:
    try:
        found = read(body)
    except InputError:
        return
    assert pb.ModelInferRequest.FromString(found.forwarded("a", "b")).model_name == found.model


@given(st.data())
def test_a_damaged_request_is_refused_or_declares_what_it_brings(data: st.DataObject) -> None:
    body = bytearray(request(("FP32", [2, 3], bytes(24)), ("UINT8", [5], b"abcde")).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(body))
    except InputError:
        return
    assert sum(map(len, found.tensors)) <= 29
