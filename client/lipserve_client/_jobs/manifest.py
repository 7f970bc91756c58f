"""Batches: rows of jobs, whose files are sent first."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lipserve.errors import AudioError, InputError, LipServeError, OptionsError, SourceError, VideoError
from lipserve.files.picture import MediaSource
from lipserve_client._cancel import in_thread
from lipserve_client._jobs.uploads import Uploads, is_reference
from lipserve_client._timeline import OWN_SOUND

JSON_LINES = "application/x-ndjson"
CSV = "text/csv"
MEDIA: dict[str, type[LipServeError]] = {
    "video": VideoError,
    "speech": AudioError,
    "source": SourceError,
    "background": AudioError,
}
_ID = re.compile(r"[0-9a-f]{32}")
_LARGEST = 64 << 20  # bytes of a manifest
_FIELDS = "docs/jobs/api.md shows the fields of a job."

Row = dict[str, Any]


def checked_id(id: str) -> str:
    """Return an id, or raise OptionsError where it is none."""
    if not _ID.fullmatch(id):
        raise OptionsError(f"{id!r} is not the id of a job.", "`lipserve jobs list` shows the ids.")
    return id


async def of(rows: Iterable[Mapping[str, Any]] | str | PathLike[str], uploads: Uploads) -> tuple[bytes, str]:
    """Send the files that rows name, each once, and return the manifest with references, and its media type.

    Args:
        rows: jobs; or the path of a CSV file, else of JSON, one object a line. Files in these are relative
            to it.

    Raises:
        InputError: the manifest or a file cannot be read; the line is named.
    """
    if not isinstance(rows, str | PathLike):
        return await _lines([_plain(row) for row in rows], uploads)
    path = Path(rows)
    text = await in_thread(_load, path)
    if path.suffix.lower() == ".csv":
        return await _csv(text, path.parent, uploads)
    return await _lines(
        [_parsed(line, number) for number, line in enumerate(text.splitlines(), 1)], uploads, path.parent
    )


async def _lines(rows: list[Row | None], uploads: Uploads, folder: Path | None = None) -> tuple[bytes, str]:
    await in_thread(_expect, enumerate(rows, 1), uploads, folder)
    lines = []
    for row in rows:
        if row is not None:
            await _refer(row, uploads, folder)
        lines.append("" if row is None else json.dumps(row))
    return ("\n".join(lines) + "\n").encode(), JSON_LINES


async def _csv(text: str, folder: Path, uploads: Uploads) -> tuple[bytes, str]:
    """Only cells that name files are replaced; what else is wrong, the gateway says, with the same line."""
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        lines = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise OptionsError(f"Line {reader.line_num} is not CSV: {error}.", _FIELDS) from error
    first = next((place for place, (_, cells) in enumerate(lines) if any(cells)), 0)
    head = [name.strip() for name in lines[first][1]] if lines else []
    places = {name: head.index(name) for name in MEDIA if name in head}
    rows: list[tuple[int, Row]] = [
        (number, {name: cells[at].strip() for name, at in places.items() if at < len(cells)})
        for number, cells in lines[first + 1 :]
    ]
    await in_thread(_expect, rows, uploads, folder)
    for (_, row), (_, cells) in zip(rows, lines[first + 1 :], strict=True):
        await _refer(row, uploads, folder)
        for name, value in row.items():
            cells[places[name]] = value
    made = io.StringIO()
    csv.writer(made, lineterminator="\n").writerows(cells for _, cells in lines)
    return made.getvalue().encode(), CSV


def _expect(rows: Iterable[tuple[int, Row | None]], uploads: Uploads, folder: Path | None) -> None:
    """Look at every file before the first is sent."""
    for number, row in rows:
        for holder, name in _media(row or {}):
            try:
                uploads.expect([(_placed(holder[name], folder), MEDIA[name])])
            except LipServeError as error:
                raise type(error)(f"Line {number}: {error.message}", error.remedy) from error


async def _refer(row: Row, uploads: Uploads, folder: Path | None) -> None:
    """Put references in the place of files."""
    for holder, name in _media(row):
        holder[name] = await uploads.reference(_placed(holder[name], folder), MEDIA[name])


def _media(row: Row) -> Iterator[tuple[Row, str]]:
    """Yield where in a row files are named."""
    cues = row.get("cues")
    holders = [row, *(cue for cue in cues if isinstance(cue, dict))] if isinstance(cues, list) else [row]
    for holder in holders:
        for name in MEDIA:
            value = holder.get(name)
            own = name == "background" and value == OWN_SOUND
            if value and not own and isinstance(value, bytes | str | PathLike):
                yield holder, name


def _placed(source: MediaSource, folder: Path | None) -> MediaSource:
    if folder is None or isinstance(source, bytes) or is_reference(source):
        return source
    return folder / os.fspath(source)


def _plain(row: Mapping[str, Any]) -> Row:
    """Return a row as JSON has it, but for its files."""
    found = {name: value for name, value in row.items() if value is not None}
    if isinstance(found.get("options"), BaseModel):
        found["options"] = found["options"].model_dump(mode="json", exclude_unset=True)
    if "cues" in found:
        found["cues"] = [
            cue.model_dump(exclude_unset=True) if isinstance(cue, BaseModel) else dict(cue)
            for cue in found["cues"]
        ]
    return found


def _parsed(line: str, number: int) -> Row | None:
    if not line.strip():
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise OptionsError(f"Line {number} of the manifest is not JSON ({error}).", _FIELDS) from error
    if not isinstance(found, dict):
        raise OptionsError(f"Line {number} of the manifest is not an object.", _FIELDS)
    return found


def _load(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise OptionsError(f"The manifest {path} is longer than {_LARGEST >> 20} MiB.", "Divide it.")
        return data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise InputError(
            f"The manifest {str(path)!r} cannot be read: {reason}.", "Check the path."
        ) from error
