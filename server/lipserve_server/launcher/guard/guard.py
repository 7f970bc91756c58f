"""The server's gRPC port: what stands between clients and Triton, which listens to nobody else.

Every request is held to what it declares (`message`), waits for its turn (`admission`) and is forwarded with
a sign by which the stages see whether its caller still waits (`callers`). What Triton says of itself is given
back typed. All other calls pass as they are, without their headers: the admin key opens nothing here.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from lipserve.errors import (
    CancelledError,
    InputError,
    InternalError,
    LimitError,
    LipServeError,
    ProcessDiedError,
    ServerFullError,
    SetupError,
    UnavailableError,
)
from lipserve_server.inside import callers
from lipserve_server.inside.callers import Callers
from lipserve_server.inside.limits import MIB
from lipserve_server.launcher.guard import message
from lipserve_server.launcher.guard.admission import Admission
from lipserve_server.launcher.guard.audit import AuditLog
from lipserve_server.launcher.guard.clients import Call, Records, client_of, outcome_of
from lipserve_server.launcher.guard.passing import (
    check_region,
    end,
    end_as,
    is_starved,
    pass_on,
    refuse_stream,
    traced,
)
from lipserve_server.launcher.processes import give_back, own_bytes

_SERVICE = "/inference.GRPCInferenceService/"
_INFER, _STREAM = f"{_SERVICE}ModelInfer", f"{_SERVICE}ModelStreamInfer"
_REGISTER = f"{_SERVICE}SystemSharedMemoryRegister"
_HEALTH = "/grpc.health.v1.Health/Check"
_logger = logging.getLogger("lipserve.server.guard")
_REFUSALS = (ServerFullError, UnavailableError, InputError, LimitError, CancelledError)
_READERS = 16  # messages that arrive together
_READ_SECONDS = 60.0  # for a message to arrive, once its turn has come ...
_CROWDED_SECONDS = 10.0  # ... and where all that may arrive are on their way
_QUIET_SECONDS = 1.5  # without a request: proxies ask a pod every second whether it is ready
_LOOK_SECONDS = 2.0  # between two looks at those that take longer
_FAT_BYTES = 64 * MIB  # of this process, where it is idle
_CALLS = 32  # threads for what is no inference, and for refusals
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_reconnect_backoff_ms", 500),  # to a Triton that was started anew
]


@dataclass(frozen=True)
class Door:
    """Where a guard listens.

    Attributes:
        credentials: of TLS; None: plain text.
        message_mib: the largest request, MiB.
    """

    address: str
    credentials: grpc.ServerCredentials | None = None
    message_mib: int = 256


class Guard:
    """Listens from `start` to `stop`.

    Attributes:
        refused: how many requests it has refused itself, by the code of the error.
        starved: is set where one found no room in Triton's shared memory.
        records: of all requests, by their client.

    Args:
        triton: address of Triton's own gRPC server.
        regions: prefix of the names of Triton's own shared memory, which clients must not register.
        audit: is told of every request.
    """

    def __init__(
        self,
        door: Door,
        triton: str,
        admission: Admission,
        waiting: Callers,
        regions: str,
        audit: AuditLog | None = None,
    ) -> None:
        self.admission = admission
        # From the start: a series that begins at 1 has not increased, says Prometheus.
        self.refused = Counter({kind.code: 0 for kind in _REFUSALS})
        self._channel = grpc.insecure_channel(triton, [*_OPTIONS, ("grpc.max_receive_message_length", -1)])
        self._infer = self._channel.unary_unary(_INFER)
        self._callers = waiting
        self._regions = regions
        self.records = Records(audit)
        self.starved = threading.Event()
        self._counting = threading.Lock()
        self._reading = threading.BoundedSemaphore(_READERS)
        self._reads: dict[grpc.ServicerContext, float] = {}  # since when each arrives
        self._asked = time.monotonic()  # when a request came last
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._look_after, name="lipserve-guard", daemon=True)
        self._server = grpc.server(
            ThreadPoolExecutor(admission.capacity + _CALLS, "lipserve-guard"),
            handlers=[_Handlers(self._handler)],
            options=[
                *_OPTIONS,
                ("grpc.max_receive_message_length", door.message_mib * MIB),
                ("grpc.so_reuseport", 0),
            ],
        )
        try:
            if door.credentials is None:
                self._server.add_insecure_port(door.address)
            else:
                self._server.add_secure_port(door.address, door.credentials)
        except RuntimeError as error:
            raise SetupError(
                f"{door.address} cannot be opened.", "Stop what listens there, or choose another port."
            ) from error

    def start(self) -> None:
        self._server.start()
        self._watch.start()

    def refuse_until_quiet(self, seconds: float) -> None:
        """Refuse what still comes, until nobody has asked for a while, or for so many seconds.

        A request that arrives while a server ends is reset, and nobody sends it again for its caller: it may
        have been begun. One that is refused can be.
        """
        began = time.monotonic()
        while time.monotonic() - max(began, self._asked) < _QUIET_SECONDS:
            if time.monotonic() - began > seconds:
                return
            time.sleep(_QUIET_SECONDS / 20)

    def stop(self, grace: float) -> None:
        """End, having sent within `grace` seconds what is answered."""
        self.admission.close()
        self._server.stop(grace).wait()
        self._stopping.set()
        self._watch.join()
        self._channel.close()

    def _handler(self, method: str) -> Any:
        if method == _INFER:
            # Of a stream a message is read when it is wanted, and its call is refused before that.
            return grpc.stream_unary_rpc_method_handler(self._serve)
        if method == _STREAM:
            return grpc.stream_stream_rpc_method_handler(refuse_stream)
        if method == _HEALTH or method.startswith(_SERVICE):
            call = self._channel.unary_unary(method)
            check = partial(check_region, self._regions) if method == _REGISTER else None
            return grpc.unary_unary_rpc_method_handler(partial(pass_on, call, check=check))
        return None

    def _serve(self, stream: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        self._asked = time.monotonic()
        call = Call(client_of(context))
        try:
            with self.admission.accepted(call.client):
                answer = self._answer(stream, context, call)
                self.records.add(call, "ok", answer)
                return answer
        except LipServeError as error:
            refusal: LipServeError = error
        except grpc.RpcError as error:
            if is_starved(error):
                self.starved.set()
            self.records.add(call, outcome_of(error))
            return end_as(context, error, ProcessDiedError)
        except Exception:
            _logger.exception("A defect in the guard")
            refusal = InternalError("A defect in the guard.", "The server's log tells more.")
        with self._counting:
            self.refused[refusal.code] += 1
        self.records.add(call, refusal.code)
        return end(context, refusal)

    def _answer(self, stream: Iterator[bytes], context: grpc.ServicerContext, call: Call) -> bytes:
        gone = threading.Event()

        def ended() -> None:
            gone.set()
            self.admission.wake()

        if not context.add_callback(ended):
            raise CancelledError("The caller gave up.")
        body = self._read(stream, context)
        call.message = asked = message.read(body)
        with self.admission.place(asked.model, len(body), gone.is_set, call.client):
            caller = self._callers.enter()
            if not context.add_callback(lambda: self._callers.leave(caller)):
                self._callers.leave(caller)
            try:
                # Never cancelled: the stages see that the caller has gone, and the place is held until then.
                body = asked.forwarded(caller, callers.PARAMETER)
                return bytes(self._infer(body, metadata=traced(context)))
            finally:
                self._callers.leave(caller)

    def _read(self, stream: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        with self._reading:
            self._reads[context] = time.monotonic()
            try:
                return next(stream)
            except StopIteration:
                raise InputError("The request is empty.", "Send a ModelInferRequest.") from None
            finally:
                del self._reads[context]

    def _look_after(self) -> None:
        """End messages that do not arrive in time, and give back what large ones have left behind."""
        while not self._stopping.wait(_LOOK_SECONDS):
            reads, now = self._reads.copy(), time.monotonic()
            longest = _CROWDED_SECONDS if len(reads) >= _READERS else _READ_SECONDS
            for context, since in reads.items():
                if now - since > longest:
                    context.cancel()
            if self.admission.idle_seconds() and own_bytes(os.getpid()) > _FAT_BYTES:
                give_back()


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, find: Callable[[str], Any]) -> None:
        self._find = find

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        return self._find(details.method)
