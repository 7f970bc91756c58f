"""The collector of spans, over real HTTP, and what it refuses."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lipserve.errors import SetupError
from lipserve_client._profiling.spans import MAX_BODY, PATH, Collector, Context, Span, read_spans

TRACE = "0af7651916cd43dd8448eb211c80319c"
CONTEXT = Context(TRACE, "b7ad6b7169203331")


def _otlp(**changes: Any) -> dict[str, Any]:
    """Return an export of one span, in the form of Triton 24.10's."""
    span = {
        "attributes": [
            {"key": "triton.model_name", "value": {"stringValue": "wav2lip"}},
            {"key": "triton.model_version", "value": {"intValue": "1"}},
            {"key": "triton.request_id", "value": {"stringValue": "a request"}},
        ],
        "events": [{"name": "QUEUE_START", "timeUnixNano": "1000"}],
        "kind": 2,
        "name": "wav2lip",
        "parentSpanId": "b7ad6b7169203331",
        "spanId": "a020e2129e2010c7",
        "startTimeUnixNano": "900",
        "endTimeUnixNano": "2000",
        "traceId": TRACE,
        **changes,
    }
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [span]}]}]}


SPAN = Span(
    TRACE,
    "a020e2129e2010c7",
    "b7ad6b7169203331",
    "wav2lip",
    "wav2lip",
    900,
    2000,
    (("QUEUE_START", 1000),),
    "a request",
)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector("127.0.0.1", 0) as made:
        yield made


def _post(collector: Collector, body: bytes, path: str = PATH, **headers: str) -> int:
    connection = http.client.HTTPConnection(collector.host, collector.port, timeout=5)
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_watched_spans_are_given_and_others_are_not(collector: Collector) -> None:
    assert _post(collector, json.dumps(_otlp()).encode()) == 200
    assert collector.spans() == []
    collector.watch(CONTEXT)
    assert collector.spans() == [SPAN]
    assert _post(collector, json.dumps(_otlp(traceId="f" * 32)).encode()) == 200
    assert collector.spans() == [SPAN]


def test_a_trace_that_the_server_began_itself_is_its_requests(collector: Collector) -> None:
    assert CONTEXT.traceparent == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    collector.watch(CONTEXT)
    own = "e" * 32
    first = Span(own, "1" * 16, "", "InferRequest", "", 0, 9)
    leaf = Span(own, "2" * 16, "3" * 16, "face_detector", "face_detector", 2, 3)
    model = Span(own, "3" * 16, first.id, "wav2lip", "wav2lip", 1, 8, request=CONTEXT.traceparent)
    other = Span("f" * 32, "4" * 16, "", "InferRequest", "", 0, 9, request="another's")
    collector.add([leaf])
    assert collector.spans() == []
    collector.add([other, model, first])
    assert collector.spans() == [
        replace(leaf, trace=TRACE),
        replace(model, trace=TRACE),
        replace(first, trace=TRACE, parent=CONTEXT.span),
    ]
    assert collector.wait([CONTEXT.span], 0)


def test_the_collector_waits_for_children_and_no_longer_than_it_is_told(collector: Collector) -> None:
    collector.watch(CONTEXT)
    assert collector.wait([], 0)
    assert not collector.wait([SPAN.parent], 0.1)
    _post(collector, json.dumps(_otlp()).encode())
    assert collector.wait([SPAN.parent], 5)
    assert not collector.wait([SPAN.parent, "0" * 16], 0.1)


def test_a_first_span_has_no_parent_and_a_computation_no_model() -> None:
    export = _otlp()
    fields = export["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    for name in ("attributes", "events", "parentSpanId"):
        del fields[name]
    (span,) = read_spans(json.dumps(export).encode())
    assert (span.parent, span.model, span.events, span.request) == ("", "", (), "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"resourceSpans": 3}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}',
        json.dumps(_otlp(startTimeUnixNano="yesterday")).encode(),
        json.dumps(_otlp(attributes=[{"key": "triton.model_name", "value": 5}])).encode(),
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_export_is_refused_and_the_collector_goes_on(
    collector: Collector, body: bytes
) -> None:
    collector.watch(CONTEXT)
    assert _post(collector, body) == 400
    assert _post(collector, json.dumps(_otlp()).encode()) == 200
    assert collector.spans() == [SPAN]


def test_other_paths_and_sizes_are_refused(collector: Collector) -> None:
    assert _post(collector, b"{}", path="/") == 404
    assert _post(collector, b"", **{"Content-Length": str(MAX_BODY + 1)}) == 413
    assert _post(collector, b"", **{"Content-Length": "-1"}) == 411


def test_an_address_that_cannot_be_had_is_a_typed_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"127.0.0.1:{port}.*--collector"), Collector("127.0.0.1", port):
            pass
    with pytest.raises(SetupError, match="--collector"), Collector("no.such.host.invalid", 0):
        pass
