"""Size check of a PNG's compressed chunks, which FFmpeg expands up to a thousandfold."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from lipserve.errors import LimitError

MAX_UNPACKED = 16 << 20  # bytes of a text or a profile; the largest profiles have a few million

_MAX_CHUNKS = 200_000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PACKED = (b"zTXt", b"iCCP")  # keyword, 0, method, zlib's data


def check(data: bytes) -> None:
    """Raise LimitError where a text or a colour profile unpacks to more than MAX_UNPACKED bytes.

    Args:
        data: a PNG, a packet of one, or the chunks that a container keeps beside its packets.
    """
    for count, (kind, body) in enumerate(_chunks(data)):
        if count == _MAX_CHUNKS:
            raise LimitError(f"The PNG has more than {_MAX_CHUNKS:,} chunks.", "Save the picture again.")
        packed = body[body.find(b"\0") + 2 :] if kind in _PACKED else b""
        if len(packed) * 1100 < MAX_UNPACKED:
            continue
        unpacker = zlib.decompressobj()
        try:
            unpacker.decompress(packed, MAX_UNPACKED)
        except zlib.error:
            continue  # what FFmpeg refuses too
        if unpacker.unconsumed_tail:
            raise LimitError(
                f"A text or a colour profile in the PNG unpacks to more than {MAX_UNPACKED >> 20} MiB.",
                "Save the picture again, without it.",
            )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE) if data.startswith(_SIGNATURE) else 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += length + 12
