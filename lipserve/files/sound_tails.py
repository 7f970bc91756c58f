"""Whether a file of sound alone ends where its format says; AIFF and WAV are in `tails`."""

from __future__ import annotations

from typing import BinaryIO

from lipserve.files.tails import CUT, MAX_CHUNKS, PADDING, UNKNOWN, Formats, begins, number


def _mp3(file: BinaryIO, head: bytes, size: int) -> str:
    """The first frame may be a table that tells how long all are together."""
    tags = 0
    if head.startswith(b"ID3"):
        tags = 10 + sum((head[6 + place] & 0x7F) << 21 - 7 * place for place in range(4))
    file.seek(tags)
    frame = file.read(256)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0 or not frame[at + 7] & 2:
        return ""
    length = number(frame, at + 8 + (4 if frame[at + 7] & 1 else 0))
    return CUT if tags + length > size + PADDING else ""


def _au(file: BinaryIO, head: bytes, size: int) -> str:
    length = number(head, 8)
    return CUT if length not in UNKNOWN and number(head, 4) + length > size + PADDING else ""


def _caf(file: BinaryIO, head: bytes, size: int) -> str:
    """Chunks, each of which begins with its length; -1 where it goes on to the end."""
    at = 8
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        chunk = file.read(12)
        length = number(chunk, 4, 8)
        if len(chunk) < 12 or length >= 1 << 63:
            return ""
        at += 12 + length
        if at > size:
            return CUT
    return ""


def _w64(file: BinaryIO, head: bytes, size: int) -> str:
    length = number(head, 16, 8, "little")
    return CUT if 0 < length < 1 << 63 and length > size + PADDING else ""


FORMATS: Formats = (
    (begins(b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xe3"), _mp3),
    (begins(b".snd"), _au),
    (begins(b"caff"), _caf),
    (begins(b"riff\x2e\x91\xcf\x11"), _w64),
)
