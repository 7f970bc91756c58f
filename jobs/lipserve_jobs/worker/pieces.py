"""Pieces in the store: a film and the reports of its requests, in one object."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

from lipserve.errors import InternalError
from lipserve.report import Report
from lipserve_client._making import Answer
from lipserve_jobs.store import Keys, Store

_LENGTH = struct.Struct(">Q")


@dataclass(frozen=True)
class Piece:
    """A piece that is made.

    Attributes:
        seconds: that its requests took.
        retries: how often they were sent again in the try that made it, and how many tries there were before.
    """

    answer: Answer
    seconds: float
    retries: int


async def write(store: Store, keys: Keys, place: int, piece: Piece) -> None:
    """Keep a piece."""
    film, reports = piece.answer
    told = [report.model_dump(mode="json") for report in reports]
    head = json.dumps({"seconds": piece.seconds, "retries": piece.retries, "reports": told}).encode()
    await store.write(keys.piece(place), _LENGTH.pack(len(head)) + head + film)


async def read(store: Store, keys: Keys, place: int) -> Piece:
    """Return a piece that was kept; InternalError where it is gone."""
    data = await store.read(keys.piece(place))
    if data is None:
        raise InternalError(f"Piece {place} of a job is gone from the store.", "Send the job again.")
    (length,) = _LENGTH.unpack_from(data)
    head = json.loads(data[_LENGTH.size : _LENGTH.size + length])
    reports = tuple(Report.model_validate(report) for report in head["reports"])
    return Piece((data[_LENGTH.size + length :], reports), head["seconds"], head["retries"])
