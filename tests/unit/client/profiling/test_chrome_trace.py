"""The layout of a Chrome trace: rows, nesting, arrows."""

from __future__ import annotations

from typing import Any

import pytest

from lipserve_client._profiling.chrome_trace import chrome_trace
from lipserve_client._profiling.spans import Span

MS = 1_000_000
BEGAN = 1_795_251_374_000_000_000


def _span(id: str, parent: str, name: str, start: float, end: float, model: bool = True) -> Span:
    first, last = BEGAN + int(start * MS), BEGAN + int(end * MS)
    marks: tuple[tuple[str, int], ...] = ()
    if name == "compute":
        at = [first, first + MS, last - 2 * MS, last]
        names = ("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END")
        marks = tuple(zip(names, at, strict=True))
    elif model:
        marks = (("QUEUE_START", first + MS // 2),)
    return Span("t" * 32, id, parent, name, name if model else "", first, last, marks)


SPANS = [
    # as they arrive: the inner ones first
    _span("c1", "l1", "compute", 23, 39, model=False),
    _span("l1", "s1", "leaf", 20, 40),
    _span("c2", "l2", "compute", 40, 44, model=False),
    _span("l2", "s1", "leaf", 30, 45),
    _span("s2", "e", "second", 60, 80),
    _span("s1", "e", "first", 10, 50),
    _span("e", "clip", "whole", 5, 85),
    _span("clip", "", "clip", 0, 90, model=False),
]


def _named(trace: dict[str, Any], phase: str) -> list[dict[str, Any]]:
    return [event for event in trace["traceEvents"] if event["ph"] == phase]


def _rows(trace: dict[str, Any]) -> dict[int, str]:
    return {e["tid"]: e["args"]["name"] for e in _named(trace, "M") if e["name"] == "thread_name"}


def test_rows_lie_below_their_callers_and_overlaps_get_rows_of_their_own() -> None:
    rows = _rows(chrome_trace(SPANS))
    assert [rows[number] for number in sorted(rows)] == [
        "clip",
        "whole",
        "first",
        "leaf",
        "leaf (2)",
        "second",
    ]


def test_times_are_microseconds_from_the_first_start() -> None:
    trace = chrome_trace(SPANS)
    slices = {event["args"].get("span"): event for event in _named(trace, "X")}
    assert (slices["clip"]["ts"], slices["clip"]["dur"]) == (0, 90_000)
    assert (slices["l1"]["ts"], slices["l1"]["dur"]) == (20_000, 20_000)
    assert slices["l1"]["args"]["parent"] == "s1"


def test_a_computation_lies_in_its_models_row_after_the_queue() -> None:
    trace = chrome_trace(SPANS)
    rows = _rows(trace)
    inside = [event for event in _named(trace, "X") if rows[event["tid"]] == "leaf"]
    assert [(e["name"], e["ts"], e["dur"]) for e in inside] == [
        ("leaf", 20_000, 20_000),
        ("compute", 23_000, 16_000),
        ("queue", 20_500, 2_500),
    ]
    parts = inside[1]["args"]
    assert (parts["input_ms"], parts["infer_ms"], parts["output_ms"]) == pytest.approx((1, 13, 2))


def test_an_arrow_leads_from_each_caller_to_what_it_calls() -> None:
    trace = chrome_trace(SPANS)
    rows = _rows(trace)
    starts = {event["id"]: event for event in _named(trace, "s")}
    ends = {event["id"]: event for event in _named(trace, "f")}
    arrows = [(rows[starts[n]["tid"]], rows[ends[n]["tid"]], starts[n]["ts"]) for n in sorted(starts)]
    assert starts.keys() == ends.keys()
    assert arrows == [
        ("clip", "whole", 5_000),
        ("whole", "first", 10_000),
        ("first", "leaf", 20_000),
        ("first", "leaf (2)", 30_000),
        ("whole", "second", 60_000),
    ]


def test_slices_of_a_row_never_overlap_in_part() -> None:
    trace = chrome_trace(SPANS)
    for row in _rows(trace):
        own = [(e["ts"], e["ts"] + e["dur"]) for e in _named(trace, "X") if e["tid"] == row]
        for a, b in own:
            assert all(d <= a or c >= b or (c <= a and d >= b) or (c >= a and d <= b) for c, d in own)


def test_spans_whose_callers_are_unknown_stand_alone() -> None:
    orphan = chrome_trace([_span("c", "gone", "compute", 1, 5, model=False)])
    assert list(_rows(orphan).values()) == ["compute"]
    assert _named(orphan, "s") == []
    assert chrome_trace([])["traceEvents"][0]["name"] == "process_name"
