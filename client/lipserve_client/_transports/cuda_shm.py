"""Tensors in GPU memory that this process and the server share, for callers of the generate stages.

Numeric tensors (face crops, speech) travel so; container files are read by the server's CPU and stay in the
message.
"""

from __future__ import annotations

import importlib
import uuid
from typing import Any

import numpy as np

from lipserve.errors import InputError, InternalError, SetupError
from lipserve_client._connection import Connection
from lipserve_client._transports.base import Value
from lipserve_client._transports.regions import Region, SharedMemoryTransport


class CudaRegion(Region):
    """Memory of one GPU, through `tritonclient.utils.cuda_shared_memory`."""

    def __init__(self, cuda: Any, size: int, device: int) -> None:
        self.name = f"lipserve_cuda_{uuid.uuid4().hex}"
        self.size = size
        self._cuda = cuda
        try:
            self._handle = cuda.create_shared_memory_region(self.name, size, device)
        except Exception as error:
            raise SetupError(
                f"GPU {device} cannot give {size / 2**20:.0f} MiB of shared memory: {error}.",
                "Free GPU memory, or use shm='system' or shm='none'.",
            ) from error

    @property
    def raw_handle(self) -> bytes:
        """The handle that another process opens the memory with, in base64."""
        handle: bytes = self._cuda.get_raw_handle(self._handle)
        return handle

    def write(self, value: Value) -> None:
        self._cuda.set_shared_memory_region(self._handle, [value])

    def read_bytes(self, size: int) -> bytes:
        array = self._cuda.get_contents_as_numpy(self._handle, np.uint8, [size])
        return bytes(np.asarray(array).tobytes())

    def free(self) -> None:
        if self._handle is not None:
            self._cuda.destroy_shared_memory_region(self._handle)
            self._handle = None


class CudaSharedMemory(SharedMemoryTransport):
    """Args:
    device: ordinal of the GPU, the same one that the server uses.
    cuda: a module with the functions of `tritonclient.utils.cuda_shared_memory`; None: that one.
    """

    def __init__(self, connection: Connection, device: int = 0, cuda: Any = None) -> None:
        super().__init__(connection)
        self._device = device
        self._cuda = cuda if cuda is not None else _load()

    def carries(self, dtype: str) -> bool:
        return dtype != "BYTES"

    def allocate(self, size: int) -> Region:
        return CudaRegion(self._cuda, size, self._device)

    async def register(self, region: Region) -> None:
        assert isinstance(region, CudaRegion)
        try:
            await self.connection.ask(
                "register_cuda_shared_memory", region.name, region.raw_handle, self._device, region.size
            )
        except (InternalError, InputError) as error:
            raise SetupError(
                f"{self.connection.url} cannot open this machine's GPU memory ({error.message}).",
                "shm='cuda' needs a server on the same GPU that allows it; use shm='system' or shm='none'.",
            ) from error

    async def unregister(self, region: Region) -> None:
        await self.connection.ask("unregister_cuda_shared_memory", region.name)


def _load() -> Any:
    try:
        return importlib.import_module("tritonclient.utils.cuda_shared_memory")
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: its own word for a missing package
        raise SetupError(
            f"CUDA shared memory is not available here ({error}).",
            "Install it with: pip install 'lipserve[cuda]'",
        ) from error
