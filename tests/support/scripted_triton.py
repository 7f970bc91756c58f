"""A gRPC server that fails on demand: a real Triton cannot be told to."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import trustme
from tritonclient.grpc import service_pb2, service_pb2_grpc


@dataclass
class Failing:
    """An answer: a gRPC status with a message, after `seconds`."""

    status: grpc.StatusCode
    message: str
    seconds: float = 0.0


@dataclass
class ScriptedTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Speaks Triton's protocol; each ModelInfer takes the next step of `script`, then echoes its FACES.

    Attributes:
        script: what the next calls meet; a step may be a Failing, or a function of the request.
        calls: models asked for, in order; `names` are what the client called the requests.
        cancelled: set when a client gave up a call that was being worked on.
    """

    script: deque[Failing | Callable[[Any], Any]] = field(default_factory=deque)
    calls: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    working: threading.Event = field(default_factory=threading.Event)
    cuda_regions: dict[str, bytes] = field(default_factory=dict)  # name -> raw handle
    refusals: deque[Failing] = field(default_factory=deque)  # what the next unregistrations meet
    port: int = 0
    server: grpc.Server | None = None

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End at once: calls in flight are cut off."""
        if self.server is not None:
            self.server.stop(None).wait()

    def ServerLive(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return service_pb2.ServerLiveResponse(live=True)

    def ServerReady(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=True)

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self.calls.append(request.model_name)
        self.names.append(request.id)
        self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
        step = self.script.popleft() if self.script else echo
        if isinstance(step, Failing):
            self._wait(step.seconds, context)
            context.abort(step.status, step.message)
        return step(request)

    def CudaSharedMemoryRegister(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self.cuda_regions[request.name] = request.raw_handle
        return service_pb2.CudaSharedMemoryRegisterResponse()

    def CudaSharedMemoryUnregister(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        if self.refusals:
            refusal = self.refusals.popleft()
            context.abort(refusal.status, refusal.message)
        del self.cuda_regions[request.name]
        return service_pb2.CudaSharedMemoryUnregisterResponse()

    def _wait(self, seconds: float, context: grpc.ServicerContext) -> None:
        self.working.set()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not context.is_active():
                self.cancelled.set()
                return
            time.sleep(0.01)


def echo(request: Any) -> Any:
    """Return the FACES of a request as they came."""
    index = next(i for i, tensor in enumerate(request.inputs) if tensor.name == "FACES")
    response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1")
    output = response.outputs.add(name="FACES", datatype="UINT8")
    output.shape.extend(request.inputs[index].shape)
    response.raw_output_contents.append(request.raw_input_contents[index])
    return response


class Authority:
    """A certificate authority in a directory: ca.pem, and the server's and the client's own."""

    def __init__(self, folder: Path, name: str = "127.0.0.1") -> None:
        self._ca = trustme.CA()
        self.folder = folder
        self._ca.cert_pem.write_to_path(folder / "ca.pem")
        self._server = self._ca.issue_cert(name)
        client = self._ca.issue_cert("client@lipserve.test")
        client.private_key_pem.write_to_path(folder / "client.key")
        (folder / "client.pem").write_bytes(b"".join(pem.bytes() for pem in client.cert_chain_pems))

    def server(self, mutual: bool) -> grpc.ServerCredentials:
        chain = b"".join(pem.bytes() for pem in self._server.cert_chain_pems)
        key = self._server.private_key_pem.bytes()
        root = self._ca.cert_pem.bytes()
        return grpc.ssl_server_credentials([(key, chain)], root if mutual else None, mutual)


StartTriton = Callable[..., ScriptedTriton]


def start(credentials: grpc.ServerCredentials | None = None, port: int = 0) -> ScriptedTriton:
    """Start a ScriptedTriton on loopback."""
    triton = ScriptedTriton()
    options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(8), options=options)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    address = f"127.0.0.1:{port}"
    triton.port = (
        server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    )
    server.start()
    triton.server = server
    return triton
