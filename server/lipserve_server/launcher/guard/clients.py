"""Who calls, and what each client has had: for turns in the queue, and for the bill."""

from __future__ import annotations

import copy
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from lipserve.contracts import PIPELINES
from lipserve.errors import InputError, codes, from_wire
from lipserve.options import parse
from lipserve.report import Report
from lipserve_server.launcher.guard.audit import AuditLog
from lipserve_server.launcher.guard.message import Message

HEADER = "x-lipserve-client"
"""The header in which a proxy tells whose key or token it has checked; Envoy takes it from callers."""

OTHERS = "(others)"
"""The name under which clients are counted that came after the first `MOST_NAMES`."""

MOST_NAMES = 100
_CERTIFICATE = ("x509_common_name", "x509_subject_alternative_name")
_ODD = re.compile(r"[^\x21-\x7e]")
_LONGEST = 64  # characters of a name
_ENSEMBLES = frozenset(pipeline.ensemble.name for pipeline in PIPELINES.values())
_TEXT_LENGTH = 4  # bytes before an element of BYTES


def client_of(context: grpc.ServicerContext) -> str:
    """Return the name of a call's client: of its certificate, of the proxy's header, or its address.

    The header is believed where it comes from a proxy that sets it, as the chart's Envoy does; a server that
    strangers reach without one should ask for certificates.
    """
    certificate = context.auth_context()
    told = [value for key in _CERTIFICATE for value in certificate.get(key, ())]
    headers = [value for key, value in context.invocation_metadata() if key == HEADER]
    # A proxy shows its own certificate, and tells its client's name.
    names = (*headers, *(value.decode("utf-8", "replace") for value in told))
    name = next(filter(None, names), "")
    return _ODD.sub("?", name)[:_LONGEST] or _address(context.peer())


def _address(peer: str) -> str:
    """Return gRPC's name of a peer, `ipv4:127.0.0.1:50000`, without the port."""
    kind, _, rest = peer.partition(":")
    return unquote(rest).rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else kind


@dataclass
class Usage:
    """What one client has had.

    Attributes:
        requests: by their outcome: ok, or the code of the error.
        frames, video_seconds: of the results.
        stage_seconds: of the stages, as a REPORT tells them.
    """

    # Every code from the start: a series that begins at 1 has not increased, says Prometheus.
    requests: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(("ok", *codes()), 0)))
    frames: int = 0
    video_seconds: float = 0.0
    stage_seconds: float = 0.0


@dataclass
class Call:
    """One request of one client.

    Attributes:
        began: `time.time()` when it came.
        message: None until it has been read.
    """

    client: str
    began: float = field(default_factory=time.time)
    message: Message | None = None


class Records:
    """What has been served, by client. Every method may be called from any thread.

    Args:
        audit: is told of every request.
    """

    def __init__(self, audit: AuditLog | None = None) -> None:
        self._audit = audit
        self._used: dict[str, Usage] = {}
        self._lock = threading.Lock()

    def usage(self) -> Mapping[str, Usage]:
        """Return what each client has had: of the first `MOST_NAMES`, and of all others together."""
        with self._lock:
            return copy.deepcopy(self._used)

    def add(self, call: Call, outcome: str, answer: bytes = b"") -> None:
        """Count a request that has ended.

        Args:
            outcome: ok, or the code of the error.
            answer: a ModelInferResponse.
        """
        report = _report(call.message.model, answer) if answer and call.message else None
        with self._lock:
            known = call.client in self._used or len(self._used) < MOST_NAMES
            usage = self._used.setdefault(call.client if known else OTHERS, Usage())
            usage.requests[outcome] += 1
            if report is not None:
                usage.frames += report.frames
                usage.video_seconds += report.seconds
                usage.stage_seconds += sum(report.stage_seconds.values())
        if self._audit is not None:
            self._audit.write(call.client, call.began, outcome, call.message, report)


def outcome_of(error: grpc.RpcError) -> str:
    """Return the code of the error that a failed call of Triton carries, or gRPC's own name of it."""
    told = from_wire(str(error.details()))
    return told.code if told else str(error.code().name).lower()


def _report(model: str, answer: bytes) -> Report | None:
    """Return the REPORT in an ensemble's answer; None where there is none."""
    if model not in _ENSEMBLES:
        return None
    try:
        response = service_pb2.ModelInferResponse.FromString(answer)
        names = [output.name for output in response.outputs]
        return parse(Report, response.raw_output_contents[names.index("REPORT")][_TEXT_LENGTH:])
    except (DecodeError, ValueError, IndexError, InputError):  # not asked for, or in shared memory
        return None
