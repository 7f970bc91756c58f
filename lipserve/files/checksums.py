"""Verification of the checksums inside Ogg and Matroska, which FFmpeg does not check."""

from __future__ import annotations

import zlib
from typing import BinaryIO

from lipserve.cancellation import look
from lipserve.files.tails import CUT, DAMAGED, Formats, begins, number

_MAX_PIECES = 500_000  # gigabytes
_MAX_CLUSTER = 64 << 20  # bytes: FFmpeg's own have 5 million at most
_SEGMENT, _CRC = b"\x18\x53\x80\x67", b"\xbf\x84"
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg(file: BinaryIO, head: bytes, size: int) -> str:
    """Pages, each with its number and the checksum of all its bytes (RFC 3533)."""
    at = 0
    last: dict[bytes, int] = {}
    for _ in range(_MAX_PIECES):
        look()
        if at >= size:
            return ""
        file.seek(at)
        page = file.read(27 + 255)
        if not page.startswith(b"OggS"):
            return DAMAGED
        length = 27 + page[26] + sum(page[27 : 27 + page[26]]) if len(page) > 26 else size
        at += length
        if at > size:
            return CUT
        page = (page + file.read(max(0, length - len(page))))[:length]
        stream, place = page[14:18], number(page, 18, 4, "little")
        if _sum_of(page) != number(page, 22, 4, "little") or place != last.get(stream, place - 1) + 1:
            return DAMAGED
        last[stream] = place
    return ""


def _sum_of(page: bytes) -> int:
    """Return Ogg's CRC-32 of a page: zlib's with all bits in the other order, and no inversion."""
    plain = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)
    return int(f"{zlib.crc32(plain, 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)


def _matroska(file: BinaryIO, head: bytes, size: int) -> str:
    """Clusters, whose first element may be the CRC-32 of the others (RFC 8794)."""
    at = 0
    for _ in range(_MAX_PIECES):
        look()
        file.seek(at)
        element = file.read(18)
        if len(element) < 12:
            return ""
        kind = 5 - (element[0] >> 4).bit_length()  # bytes of its name
        width = 9 - element[kind].bit_length()
        length = number(element, kind, width) - (1 << 7 * width)
        if kind > 4 or width > 8 or length == (1 << 7 * width) - 1:
            return ""  # written live
        begin = at + kind + width
        if element.startswith(_SEGMENT):
            at = begin
            continue
        at = begin + length
        file.seek(begin)
        if file.read(2) == _CRC and length <= _MAX_CLUSTER and at <= size:
            checksum = number(file.read(4), 0, 4, "little")
            if zlib.crc32(file.read(length - 6)) != checksum:
                return DAMAGED
    return ""


FORMATS: Formats = (
    (begins(b"OggS"), _ogg),
    (begins(b"\x1a\x45\xdf\xa3"), _matroska),
)
