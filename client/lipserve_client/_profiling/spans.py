"""Spans of OpenTelemetry: what Triton exports, and the collector that receives it (OTLP over HTTP, JSON)."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

from lipserve.errors import SetupError

PATH = "/v1/traces"
MAX_BODY = 64 << 20  # bytes of one export
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Context:
    """The span and the trace that a client's requests belong to, in hexadecimal (W3C trace context)."""

    trace: str
    span: str

    @property
    def traceparent(self) -> str:
        """The header that says so: version, trace, parent, and that it is recorded."""
        return f"00-{self.trace}-{self.span}-01"


@dataclass(frozen=True)
class Span:
    """One piece of work.

    Attributes:
        trace, id, parent: hexadecimal, as W3C trace context has them; parent is "" for the first of a trace.
        model: whose work it is; "" where it is no model's.
        request: the client's name of the request, at the models that it was sent to; "" elsewhere.
        start, end: nanoseconds since 1970.
        events: (name, nanoseconds since 1970) of what happened inside it.
    """

    trace: str
    id: str
    parent: str
    name: str
    model: str
    start: int
    end: int
    events: tuple[tuple[str, int], ...] = ()
    request: str = ""


def read_spans(body: bytes) -> list[Span]:
    """Return the spans of an OTLP export, or raise ValueError where it is none."""
    try:
        return [
            _span(span)
            for resource in json.loads(body)["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an OTLP export: {error!r}") from error


def _span(fields: dict[str, Any]) -> Span:
    values = {entry["key"]: entry["value"] for entry in fields.get("attributes", ())}
    return Span(
        trace=str(fields["traceId"]),
        id=str(fields["spanId"]),
        parent=str(fields.get("parentSpanId", "")),
        name=str(fields["name"]),
        model=str(values.get("triton.model_name", {}).get("stringValue", "")),
        request=str(values.get("triton.request_id", {}).get("stringValue", "")),
        start=int(fields["startTimeUnixNano"]),
        end=int(fields["endTimeUnixNano"]),
        events=tuple((str(e["name"]), int(e["timeUnixNano"])) for e in fields.get("events", ())),
    )


@dataclass
class Collector:
    """Receives spans at http://`host`:`port`/v1/traces while inside its context; port 0 picks a free one.

    A server's own checks are traced too: only the spans of contexts that are watched are given.

    Raises:
        SetupError: the address cannot be opened.
    """

    host: str
    port: int
    _watched: dict[str, Context] = field(default_factory=dict)
    _spans: list[Span] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}{PATH}"

    def __enter__(self) -> Collector:
        handler = type("Handler", (_Handler,), {"collector": self})
        try:
            self._server = _Server((self.host, self.port), handler)
        except (OSError, OverflowError) as error:
            raise SetupError(
                f"The trace collector cannot listen at {self.host}:{self.port} ({error}).",
                "Stop the program that listens there, or choose another address with --collector "
                "(and give it to the server).",
            ) from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def watch(self, context: Context) -> None:
        """Give the spans of `context` from now on."""
        with self._lock:
            self._watched[context.traceparent] = context

    def add(self, spans: list[Span]) -> None:
        """Keep what a server sent."""
        with self._lock:
            self._spans += spans

    def spans(self) -> list[Span]:
        """Return every span of a watched context that came so far.

        Of a few requests in a hundred Triton 24.10 reads the traceparent wrongly (its text is not ended where
        it copies it) and begins a trace of its own; the request's name, which is that same text, then says
        what the trace belongs to.
        """
        with self._lock:
            spans, watched = list(self._spans), dict(self._watched)
        known = {context.trace: context for context in watched.values()}
        known |= {
            span.trace: watched[span.request]
            for span in spans
            if span.trace not in known and span.request in watched
        }
        return [
            replace(span, trace=known[span.trace].trace, parent=span.parent or known[span.trace].span)
            for span in spans
            if span.trace in known
        ]

    def wait(self, parents: Sequence[str], seconds: float) -> bool:
        """Return whether, within `seconds`, every span whose id is in `parents` has children here."""
        deadline = time.monotonic() + seconds
        while True:
            found = {span.parent for span in self.spans()}
            if found.issuperset(parents):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)


class _Server(ThreadingTCPServer):  # http.server's own asks the network for its host's name
    allow_reuse_address = True
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    collector: Collector
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds of silence on a connection

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != PATH:
            return self._answer(HTTPStatus.NOT_FOUND)
        if not length.isdigit():
            return self._answer(HTTPStatus.LENGTH_REQUIRED)
        if int(length) > MAX_BODY:
            return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            self.collector.add(read_spans(self.rfile.read(int(length))))
        except ValueError:
            return self._answer(HTTPStatus.BAD_REQUEST)
        return self._answer(HTTPStatus.OK)

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.send_header("Connection", "close")  # or a server would go on sending after the collector's end
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: stderr is the command's own."""
