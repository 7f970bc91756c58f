"""Memory that an MP4's index will take, computed from its header before FFmpeg reads it.

A few bytes can declare any number of samples: all of one size, all of one duration, or shown again by every
edit. FFmpeg takes memory for each, in `av.open`, before anything of it can be stopped. The boxes' forms are
those of ISO/IEC 14496-12.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

MAX_SAMPLES = 4_000_000  # of all tracks, of a kind: 40 bytes each, and some days of film
_MAX_HEADER = 96 << 20  # bytes of one box that is no media: more than MAX_SAMPLES take
_MAX_BOXES = 200_000
_MAX_TABLES = 500_000  # of fragments there are as many as there are seconds, or twice that
_SAMPLES_AT_ONCE = 900  # of plain sound, which FFmpeg indexes in pieces of about 1024

_HEADERS = set(
    b"moov moof trak mdia minf stbl traf mvex udta meta edts dinf wave cmov "
    b"trun stsz stz2 iinf iloc senc".split()
)
_FIELDS = 64  # bytes of a table that say how long it is
_TABLE = re.compile(rb"trak|hdlr|stsd|stts|stsz|stz2|stsc|stco|co64|elst|trun|senc|saiz|iinf|iloc|cmvd")


def excess(file: BinaryIO) -> str | None:
    """Return, in words, what a file declares that is beyond all reason; None where it is none of an MP4.

    Args:
        file: at its beginning, and left anywhere.
    """
    totals: Counter[str] = Counter()
    for box in _headers(file):
        if isinstance(box, str):
            return box
        fault = _read(box, totals)
        if fault is not None:
            return fault
        kind, count = max(totals.items(), key=lambda item: item[1], default=("", 0))
        if count > MAX_SAMPLES:
            return f"it declares {count:,} {kind}"
    return None


def _headers(file: BinaryIO) -> Iterator[bytes | str]:
    """Yield the boxes of the outermost level that FFmpeg looks into, or what is wrong with one."""
    size = file.seek(0, 2)
    at = 0
    for _ in range(_MAX_BOXES):
        file.seek(at)
        head = file.read(24)
        if len(head) < 8:
            return
        length, kind, begin = int.from_bytes(head[:4], "big"), head[4:8], 8
        if length == 1:
            length, begin = int.from_bytes(head[8:16], "big"), 16
        length = length or size - at
        if length < begin:
            return
        hidden = kind in (b"free", b"skip") and head[begin + 4 : begin + 8] in (b"mvhd", b"cmov")
        if kind in _HEADERS or hidden:
            if min(length, size - at) > _MAX_HEADER:
                yield f"its header has {length:,} bytes"
                return
            file.seek(at)
            yield file.read(min(length, size - at))
        at += length
        if at >= size:
            return
    yield f"it is in more than {_MAX_BOXES:,} pieces"


def _read(box: bytes, totals: Counter[str]) -> str | None:
    """Add what a box declares to the totals, by its kind; return what cannot be read at all."""
    track = _Track()
    for found in _TABLE.finditer(box):
        totals["tables"] += 1
        if totals["tables"] > _MAX_TABLES:
            return f"it has more than {_MAX_TABLES:,} tables"
        kind, at = found[0].decode(), found.end()
        left = min(int.from_bytes(box[found.start() - 4 : found.start()], "big") - 8, len(box) - at)
        body = box[at : at + max(0, left if kind == "stsc" else min(left, _FIELDS))]
        if kind == "trak":
            track.add_to(totals)
            track = _Track()
        elif kind == "cmvd":
            return "its header is compressed"
        elif kind == "trun":
            totals["samples of fragments"] += _number(body, 4)
        elif kind in ("senc", "saiz"):
            at = 4 if kind == "senc" else 5 + 8 * (body[3:4] == b"\x01")
            totals["encrypted samples"] += _number(body, at)
        elif kind in ("iinf", "iloc"):
            totals["images"] += _items(kind, body)
        else:
            track.boxes.setdefault(kind, []).append(body)
    track.add_to(totals)
    return None


def _items(kind: str, body: bytes) -> int:
    version = body[:1]
    if kind == "iinf":
        return _number(body, 4, 2 if version == b"\0" else 4)
    return _number(body, 6, 4 if version == b"\x02" else 2)


class _Track:
    """The tables of one track."""

    def __init__(self) -> None:
        self.boxes: dict[str, list[bytes]] = {}

    def add_to(self, totals: Counter[str]) -> None:
        edits = max([1, *(_number(body, 4) for body in self.boxes.get("elst", []))])
        totals["samples"] += edits * self._samples()

    def _samples(self) -> int:
        counts = [_number(body, 8) for name in ("stsz", "stz2") for body in self.boxes.get(name, [])]
        handlers = {body[8:12] for body in self.boxes.get("hdlr", [])}
        durations = {(_number(body, 4), _number(body, 12)) for body in self.boxes.get("stts", [])}
        plain = b"soun" in handlers and b"vide" not in handlers and durations == {(1, 1)}
        return self._pieces() if plain else max(counts, default=0)

    def _pieces(self) -> int:
        """Return into how many pieces FFmpeg cuts the chunks of plain sound."""
        at_once = _SAMPLES_AT_ONCE
        for body in self.boxes.get("stsd", []):
            frame = _number(body, 44) if body[24:26] == b"\0\x01" else 0
            at_once = min(at_once, frame) if frame >= 160 else at_once
        tables = [*self.boxes.get("stco", []), *self.boxes.get("co64", [])]
        chunks = max((_number(body, 4) for body in tables), default=0)
        return max((_runs(body, chunks, at_once) for body in self.boxes.get("stsc", [])), default=0)


def _runs(body: bytes, chunks: int, at_once: int) -> int:
    """Return the pieces of chunks that hold as many samples as a table tells, from each one's first on."""
    count = max(0, len(body) - 8) // 12
    rows = np.frombuffer(body, ">u4", 3 * count, 8).reshape(count, 3).astype(np.float64)
    lasts = np.append(rows[1:, 0], chunks + 1.0)[:count]
    return int((np.maximum(0, lasts - rows[:, 0]) * (rows[:, 1] // at_once + 1)).sum())


def _number(body: bytes, at: int, length: int = 4) -> int:
    return int.from_bytes(body[at : at + length], "big")
