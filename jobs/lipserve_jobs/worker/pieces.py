"""Pieces in the store: a film and the reports of its requests, in one object."""

from __future__ import annotations

import json
import struct

from lipserve.errors import InternalError
from lipserve.report import Report
from lipserve_client._making import Answer
from lipserve_jobs.store import Keys, Store

_LENGTH = struct.Struct(">Q")


async def write(store: Store, keys: Keys, place: int, answer: Answer, seconds: float) -> None:
    """Keep a piece; `seconds`: that its requests took."""
    film, reports = answer
    head = json.dumps(
        {"seconds": seconds, "reports": [report.model_dump(mode="json") for report in reports]}
    ).encode()
    await store.write(keys.piece(place), _LENGTH.pack(len(head)) + head + film)


async def read(store: Store, keys: Keys, place: int) -> tuple[Answer, float]:
    """Return a piece, and the seconds that its requests took."""
    data = await store.read(keys.piece(place))
    if data is None:
        raise InternalError(f"Piece {place} of a job is gone from the store.", "Send the job again.")
    (length,) = _LENGTH.unpack_from(data)
    head = json.loads(data[_LENGTH.size : _LENGTH.size + length])
    reports = tuple(Report.model_validate(report) for report in head["reports"])
    return (data[_LENGTH.size + length :], reports), head["seconds"]
