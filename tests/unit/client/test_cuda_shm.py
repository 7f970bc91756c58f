"""What CUDA shared memory registers, reads and frees; the CUDA module itself is injected.

tests/gpu/test_cuda_shm.py does the same with a GPU.
"""

from __future__ import annotations

import base64
import importlib.util
from collections import deque
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from lipserve import Client
from lipserve.errors import DeadlineExceededError, SetupError, UnavailableError
from lipserve_client._transports import regions
from lipserve_client._transports.cuda_shm import CudaSharedMemory
from tests.support.scripted_triton import Failing, ScriptedTriton, StartTriton

FACES = np.random.default_rng(5).integers(0, 256, (8, 96, 96, 3), dtype=np.uint8)  # 221,184 bytes
SPEECH = np.zeros(5120, dtype=np.float32)  # 20,480 bytes: small enough for the message
IN_USE = Failing(
    grpc.StatusCode.INTERNAL, "Cannot unregister shared memory region 'x', it is currently in use."
)


@dataclass
class Handle:
    name: str
    memory: NDArray[np.uint8]
    device: int


class HostCuda:
    """The functions of `tritonclient.utils.cuda_shared_memory`, on host memory."""

    def __init__(self) -> None:
        self.handles: dict[str, Handle] = {}
        self.freed: list[str] = []

    def create_shared_memory_region(self, name: str, size: int, device: int) -> Handle:
        if device > 0:
            raise RuntimeError("invalid device ordinal")
        self.handles[name] = Handle(name, np.zeros(size, np.uint8), device)
        return self.handles[name]

    def get_raw_handle(self, handle: Handle) -> bytes:
        return base64.b64encode(handle.name.encode())

    def set_shared_memory_region(self, handle: Handle, values: list[NDArray[Any]]) -> None:
        content = values[0].reshape(-1).view(np.uint8)
        handle.memory[: len(content)] = content

    def get_contents_as_numpy(self, handle: Handle, dtype: Any, shape: list[int]) -> NDArray[Any]:
        return handle.memory.view(dtype)[: int(np.prod(shape))].reshape(shape)

    def destroy_shared_memory_region(self, handle: Handle) -> None:
        self.freed.append(handle.name)
        del self.handles[handle.name]


def _inverting(triton: ScriptedTriton, cuda: HostCuda) -> Any:
    """Return a script step: what a server with a GPU does, 255 - FACES from region to region."""

    def memory(name: str) -> NDArray[np.uint8]:
        return cuda.handles[triton.cuda_regions[name].decode()].memory

    def step(request: Any) -> Any:
        faces = next(tensor for tensor in request.inputs if tensor.name == "FACES")
        source = faces.parameters["shared_memory_region"].string_param
        size = faces.parameters["shared_memory_byte_size"].int64_param
        target = request.outputs[0].parameters["shared_memory_region"].string_param
        memory(target)[:size] = 255 - memory(source)[:size]
        response = service_pb2.ModelInferResponse(model_name="x")
        output = response.outputs.add(name="FACES", datatype="UINT8")
        output.shape.extend(faces.shape)
        response.raw_output_contents.append(b"")  # as Triton does, and no word of the region
        return response

    return step


def _client(triton: ScriptedTriton, cuda: HostCuda) -> Client:
    return Client(triton.url, transport=lambda connection: CudaSharedMemory(connection, cuda=cuda))


def test_crops_travel_in_regions_that_end_with_the_call(start_triton: StartTriton) -> None:
    triton, cuda = start_triton(), HostCuda()
    triton.script.append(_inverting(triton, cuda))
    with _client(triton, cuda) as client:
        assert np.array_equal(client.generate(FACES, SPEECH), 255 - FACES)
        assert triton.cuda_regions == {}
    assert len(cuda.freed) == 2
    assert cuda.handles == {}


def test_a_failed_call_frees_its_regions(start_triton: StartTriton) -> None:
    triton, cuda = start_triton(), HostCuda()
    triton.script.append(Failing(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"))
    client = Client(
        triton.url, retries=0, transport=lambda connection: CudaSharedMemory(connection, cuda=cuda)
    )
    with client, pytest.raises(UnavailableError):
        client.generate(FACES, SPEECH)
    assert (triton.cuda_regions, cuda.handles) == ({}, {})


def test_memory_that_the_server_still_uses_is_freed_later(start_triton: StartTriton) -> None:
    triton, cuda = start_triton(), HostCuda()
    triton.script.extend([Failing(grpc.StatusCode.UNAVAILABLE, "late", 20), _inverting(triton, cuda)])
    triton.refusals = deque([IN_USE, IN_USE])
    with _client(triton, cuda) as client:
        with pytest.raises(DeadlineExceededError):
            client.generate(FACES, SPEECH, timeout=0.3)
        assert len(triton.cuda_regions) == len(cuda.handles) == 2
        assert np.array_equal(client.generate(FACES, SPEECH), 255 - FACES)
        assert (triton.cuda_regions, cuda.handles) == ({}, {})


def test_regions_that_are_left_are_freed_at_the_end(start_triton: StartTriton) -> None:
    triton, cuda = start_triton(), HostCuda()
    triton.script.append(Failing(grpc.StatusCode.UNAVAILABLE, "late", 20))
    triton.refusals = deque([IN_USE, IN_USE])
    with _client(triton, cuda) as client, pytest.raises(DeadlineExceededError):
        client.generate(FACES, SPEECH, timeout=0.3)
    assert (triton.cuda_regions, cuda.handles) == ({}, {})


def test_regions_of_a_server_that_is_gone_are_freed(start_triton: StartTriton) -> None:
    triton, cuda = start_triton(), HostCuda()

    def die(request: Any) -> Any:
        triton.stop()

    triton.script.append(die)
    client = Client(
        triton.url, retries=0, transport=lambda connection: CudaSharedMemory(connection, cuda=cuda)
    )
    with client, pytest.raises(Exception, match=r"cut off|Nothing answers|cancelled|failed"):
        client.generate(FACES, SPEECH)
    assert cuda.handles == {}


def test_a_gpu_that_gives_no_memory_is_named(start_triton: StartTriton) -> None:
    triton, cuda = start_triton(), HostCuda()
    client = Client(
        triton.url, transport=lambda connection: CudaSharedMemory(connection, device=3, cuda=cuda)
    )
    with client, pytest.raises(SetupError, match="GPU 3"):
        client.generate(FACES, SPEECH)


def test_small_tensors_stay_in_the_message(start_triton: StartTriton) -> None:
    triton, cuda = start_triton(), HostCuda()
    small = FACES[:1, :32, :32]
    with _client(triton, cuda) as client:
        assert np.array_equal(client.generate(small, SPEECH), small)
    assert small.nbytes < regions.SMALL
    assert cuda.freed == []


@pytest.mark.skipif(
    importlib.util.find_spec("cuda") is not None, reason="the package cuda-python is installed"
)
def test_a_missing_package_is_named() -> None:
    with pytest.raises(SetupError, match=r"lipserve\[cuda\]"):
        Client(shm="cuda")
