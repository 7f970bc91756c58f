"""Transports: ways of tensors between this process and a server."""

from __future__ import annotations

from typing import Literal, get_args

from lipserve.errors import OptionsError
from lipserve_client._connection import Connection
from lipserve_client._transports.base import Answer, Call, Expected, Transport
from lipserve_client._transports.inband import InBand

SharedMemory = Literal["none", "system", "cuda"]

__all__ = ["Answer", "Call", "Expected", "SharedMemory", "Transport", "open_transport"]


def open_transport(connection: Connection, shm: SharedMemory) -> Transport:
    """Return the transport of that name, or raise SetupError if this machine does not support it."""
    match shm:
        case "none":
            return InBand(connection)
        case "system":
            from lipserve_client._transports.system_shm import SystemSharedMemory

            return SystemSharedMemory(connection)
        case "cuda":
            from lipserve_client._transports.cuda_shm import CudaSharedMemory

            return CudaSharedMemory(connection)
    raise OptionsError(
        f"There is no transport shm={shm!r}.", f"Use one of: {', '.join(get_args(SharedMemory))}."
    )
