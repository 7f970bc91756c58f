"""Spans as a Chrome trace: what chrome://tracing and https://ui.perfetto.dev open.

One row for each model, below the row of what calls it, and a further one where its requests overlap. An
arrow leads from every call to what it calls. The format is Google's "Trace Event Format".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lipserve_client._profiling.spans import Span

Event = dict[str, Any]
Row = tuple[str, int]  # a name, and which of the rows that have it

_PROCESS = 1
_PARTS = ("input", "infer", "output")  # of a computation, each from one mark to the next
_MARKS = ("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END")


def chrome_trace(spans: Iterable[Span]) -> dict[str, Any]:
    """Return a trace file's content; its times are microseconds from the start of the first span."""
    ordered = sorted(spans, key=lambda span: (span.start, -span.end))
    known = {span.id: span for span in ordered}
    rows = _rows(ordered)
    numbers = {row: number for number, row in enumerate(_from_the_top(ordered, known, rows), 1)}
    threads = {span: numbers[row] for span, row in rows.items()}
    events = [_about("process_name", 0, name="lipserve bench")]
    for (name, lane), number in numbers.items():
        events.append(_about("thread_name", number, name=name if lane == 0 else f"{name} ({lane + 1})"))
        events.append(_about("thread_sort_index", number, sort_index=number))
    origin = ordered[0].start if ordered else 0
    for number, span in enumerate(ordered):
        events += _slices(span, known, threads, origin)
        if span.parent in known and threads[span.parent] != threads[span.id]:
            events += _arrow(number, span, threads, origin)
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _is_computation(span: Span) -> bool:
    return span.name == "compute" and not span.model


def _rows(ordered: list[Span]) -> dict[str, Row]:
    """Return the row of every span by its id: slices of one row may contain each other, but not overlap."""
    rows: dict[str, Row] = {}
    ends: dict[Row, int] = {}
    for span in (span for span in ordered if not _is_computation(span)):
        lane = 0
        while ends.get((span.name, lane), 0) > span.start:
            lane += 1
        rows[span.id] = (span.name, lane)
        ends[span.name, lane] = span.end
    for span in (span for span in ordered if _is_computation(span)):
        rows[span.id] = rows.get(span.parent, (span.name, 0))
    return rows


def _from_the_top(ordered: list[Span], known: dict[str, Span], rows: dict[str, Row]) -> list[Row]:
    """Return every row once, those of the called below those of their callers, the earliest first."""
    paths: dict[str, tuple[int, ...]] = {}  # by name: when the callers of its first span began, and itself
    for span in ordered:
        name = rows[span.id][0]
        if name not in paths:
            above = paths[rows[span.parent][0]] if span.parent in known else ()
            paths[name] = (*above, span.start)
    return sorted(set(rows.values()), key=lambda row: (paths[row[0]], row))


def _slices(span: Span, known: dict[str, Span], threads: dict[str, int], origin: int) -> Iterator[Event]:
    marks = dict(span.events)
    about: dict[str, Any] = {"trace": span.trace, "span": span.id, "parent": span.parent}
    if all(mark in marks for mark in _MARKS):
        times = [marks[mark] for mark in _MARKS]
        edges = zip(_PARTS, times, times[1:], strict=False)
        about |= {f"{part}_ms": (stop - start) / 1e6 for part, start, stop in edges}
    kind = "model" if span.model else span.name
    yield _slice(span.name, kind, threads[span.id], span.start, span.end, origin, about)
    if _is_computation(span) and span.parent in known:
        queued = dict(known[span.parent].events).get("QUEUE_START", span.start)
        yield _slice("queue", "queue", threads[span.id], queued, span.start, origin, {})


def _slice(
    name: str, kind: str, thread: int, start: int, end: int, origin: int, about: dict[str, Any]
) -> Event:
    return {
        "ph": "X",
        "name": name,
        "cat": kind,
        "pid": _PROCESS,
        "tid": thread,
        "ts": (start - origin) / 1e3,
        "dur": (end - start) / 1e3,
        "args": about,
    }


def _arrow(number: int, span: Span, threads: dict[str, int], origin: int) -> Iterator[Event]:
    both = {"name": "call", "cat": "call", "id": number, "pid": _PROCESS, "ts": (span.start - origin) / 1e3}
    yield {**both, "ph": "s", "tid": threads[span.parent]}
    yield {**both, "ph": "f", "bp": "e", "tid": threads[span.id]}


def _about(what: str, thread: int, **content: Any) -> Event:
    return {"ph": "M", "name": what, "pid": _PROCESS, "tid": thread, "args": content}
