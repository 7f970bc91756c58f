"""Calls that the guard passes on: with what of their headers, and how Triton's answers come back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from lipserve.errors import InputError, LipServeError, StorageError, UnavailableError
from lipserve_server.inside import shm

_TRACING = frozenset({"traceparent", "tracestate"})  # headers that Triton continues a trace by
_CUT_OFF = re.compile(r"Stream removed|Socket closed|Connection reset|GOAWAY|Broken pipe", re.IGNORECASE)
_SECONDS = 600.0  # where a call's own caller sets no deadline


def pass_on(
    call: Any, body: bytes, context: grpc.ServicerContext, check: Callable[[bytes], None] | None = None
) -> bytes:
    """Return the answer to a call that is no inference, or end it as `check` or Triton does."""
    try:
        if check is not None:
            check(body)
        return bytes(call(body, timeout=min(context.time_remaining(), _SECONDS)))
    except LipServeError as error:
        return end(context, error)
    except grpc.RpcError as error:
        return end_as(context, error)


def refuse_stream(stream: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    """End a stream before anything of it is read."""
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "Streams are not served. Call ModelInfer.")
    yield b""


def check_region(prefix: str, body: bytes) -> None:
    """Raise InputError where a client would register shared memory that is not a client's.

    Args:
        prefix: of the names of Triton's own.
        body: a SystemSharedMemoryRegisterRequest.
    """
    try:
        key = service_pb2.SystemSharedMemoryRegisterRequest.FromString(body).key.lstrip("/")
    except DecodeError as error:
        raise InputError("The request cannot be read.", "Send one of Triton's protocol.") from error
    if "/" in key or key.startswith((prefix, "lipserve_server_", "triton_python_backend")):
        raise InputError(
            "This shared memory is not a client's.", "Register a region that the client has made."
        )


def traced(context: grpc.ServicerContext) -> list[tuple[str, str]]:
    """Return the headers that go on with a request."""
    return [(key, value) for key, value in context.invocation_metadata() if key in _TRACING]


def end(context: grpc.ServicerContext, error: LipServeError) -> bytes:
    """End a call with an error; it never returns."""
    context.abort(getattr(grpc.StatusCode, error.status), error.to_wire())
    raise AssertionError("abort raises")


def is_starved(error: grpc.RpcError) -> bool:
    """Return whether a call of Triton failed because its shared memory is full."""
    text = str(error.details())
    full = f"[lipserve:{StorageError.code}]" in text or shm.fault(text) is not None
    return full and not _unreached(text)


def end_as(
    context: grpc.ServicerContext, error: grpc.RpcError, died: type[UnavailableError] = UnavailableError
) -> bytes:
    """End a call as Triton ended its own; what it says of its memory is for the log alone.

    Args:
        died: the error where Triton has ended with the call.
    """
    text = str(error.details())
    if _unreached(text):
        kind = died if _CUT_OFF.search(text) else UnavailableError
        return end(context, kind("Triton has ended.", "Try again in a few seconds."))
    if "[lipserve:" not in text and (full := shm.fault(text)):
        return end(context, full)
    context.abort(error.code(), text)
    raise AssertionError("abort raises")


def _unreached(text: str) -> bool:
    """Return whether gRPC says that nobody listens at Triton's socket, whose path it names, or no more."""
    return "[lipserve:" not in text and ("unix:" in text or _CUT_OFF.search(text) is not None)
