"""The rows of a batch: CSV with a head, or a JSON object in each line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from lipserve.errors import InputError, LimitError, OptionsError
from lipserve.text import printable
from lipserve_jobs.records import JobRequest

MOST_ROWS = 10_000
_AS_JSON = frozenset({"cues", "bypass"})
_NUMBERS = frozenset({"background_lufs", "loudness"})


def requests_of(text: bytes, is_csv: bool) -> list[JobRequest]:
    """Return the request of every row.

    Raises:
        InputError: a row is wrong; the message has its line, counted from 1, the head of CSV included.
        LimitError: there are more than 10,000.
    """
    try:
        lines = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("The list is not UTF-8.", "Save it as UTF-8.") from error
    found = []
    for number, fields in _csv(lines) if is_csv else _jsonl(lines):
        try:
            found.append(JobRequest.of(fields))
        except InputError as error:
            raise OptionsError(f"Line {number}: {error.message}", error.remedy) from error
        if len(found) > MOST_ROWS:
            raise LimitError(f"The list has more than {MOST_ROWS} rows.", "Divide it.")
    if not found:
        raise InputError("The list has no rows.", "See docs/jobs/api.md for its form.")
    return found


def _jsonl(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"Line {number} is not JSON.", "Write a JSON object in each line.") from error


def _csv(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    head: list[str] | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if head is None:
                head = [name.strip() for name in row]
                if len(set(head)) != len(head):
                    raise InputError(f"Line {reader.line_num}: a column comes twice.", "Name each once.")
                continue
            if len(row) > len(head):
                raise InputError(
                    f"Line {reader.line_num} has {len(row)} cells, and the head {len(head)}.",
                    "Put cells that have commas between quotes.",
                )
            yield reader.line_num, _fields(dict(zip(head, row, strict=False)), reader.line_num)
    except csv.Error as error:
        raise InputError(f"Line {reader.line_num} is not CSV: {error}.", "Correct it.") from error


def _fields(cells: dict[str, str], line: int) -> dict[str, Any]:
    """Return the fields of a row; an empty cell is no field."""
    fields: dict[str, Any] = {}
    for name, cell in cells.items():
        group, _, inner = name.partition(".")
        if not cell.strip():
            continue
        if inner and group == "options":
            fields.setdefault("options", {})[inner] = _value(cell)
        elif inner and group == "metadata":
            fields.setdefault("metadata", {})[inner] = cell
        elif name in _AS_JSON:
            fields[name] = _json(cell, name, line)
        elif name in _NUMBERS:
            fields[name] = _value(cell)
        else:
            fields[name] = cell.strip()
    return fields


def _value(cell: str) -> Any:
    """Return a cell as JSON reads it, else as its text: 0.5, true, largest."""
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell.strip()


def _json(cell: str, name: str, line: int) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError) as error:
        raise InputError(f"Line {line}: {printable(name)} is not JSON.", "Write it as JSON.") from error
