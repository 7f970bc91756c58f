"""Whether a file ends where its format says, told from a few bytes of its head and its tail."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from lipserve.cancellation import look

CUT = "the end of the file is missing"
DAMAGED = "parts of it are missing"
UNREAD = "what was appended to it cannot be read"

Formats = tuple[tuple[Callable[[bytes], object], Callable[[BinaryIO, bytes, int], str]], ...]
"""Which files are of a format, by their first bytes; and what tells what is wrong with one, or nothing."""

HEAD = 1024  # bytes of a file that its format is known from
_TAIL = 1 << 18
MAX_CHUNKS = 100_000
_MAX_TAGS = 2_000_000  # hours
_MAX_PARTS = 4_000_000  # a gigabyte, of those that are full
_SYNC = b"\x47"
_NUT_INDEX = bytes.fromhex("4e58dd672f23e64e")
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
PADDING = 16  # bytes by which writers get a size wrong
UNKNOWN = (0, 0xFFFFFFFF)  # sizes of a file that was written without going back


def number(data: bytes, at: int, length: int = 4, order: str = "big") -> int:
    return int.from_bytes(data[at : at + length], "little" if order == "little" else "big")


def _tail(file: BinaryIO, size: int, length: int = _TAIL) -> bytes:
    file.seek(max(0, size - length))
    return file.read(length)


def _riff(file: BinaryIO, head: bytes, size: int) -> str:
    """RIFF (AVI, WAV, WebP), and AIFF. AVI above 1 GB is several in a row."""
    order = "little" if head.startswith(b"RIFF") else "big"
    at = 0
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        chunk = file.read(8)
        if len(chunk) < 8 or chunk[:4] not in (b"RIFF", b"RIFX", b"FORM"):
            return ""
        length = number(chunk, 4, order=order)
        if length in UNKNOWN:
            return ""
        at += 8 + length + length % 2
        if at > size + PADDING:
            return CUT
    return ""


def _boxes(file: BinaryIO, head: bytes, size: int) -> str:
    """ISO base media: MP4, MOV, 3GP, AVIF."""
    at = 0
    for _ in range(MAX_CHUNKS):
        if at + 8 > size:
            return ""
        file.seek(at)
        box = file.read(16)
        length = number(box, 0)
        if length == 1:
            length = number(box, 8, 8)
        if length < 8 or not box[4:8].isalnum():  # 0: to the end of the file
            return ""
        at += length
        if at > size:
            return CUT
    return ""


def _ebml(file: BinaryIO, head: bytes, size: int) -> str:
    """Matroska and WebM: a header and a segment that holds everything. FFmpeg reads two of these in a row."""
    at = 0
    for element in range(5):
        file.seek(at)
        data = file.read(12)
        if len(data) < 12 or data[:4] not in (_EBML, _SEGMENT):
            return ""
        if element == 4:
            return UNREAD
        width = 9 - data[4].bit_length()
        length = number(data, 4, width) - (1 << 7 * width)
        if length == (1 << 7 * width) - 1:  # written live
            return ""
        at += 4 + width + length
        if at > size:
            return CUT
    return ""


def _flv(file: BinaryIO, head: bytes, size: int) -> str:
    """Tags, each followed by its length; FFmpeg stops where another file's begin."""
    at = number(head, 5) + 4
    for _ in range(_MAX_TAGS):
        look()
        if at >= size:
            return CUT if at > size else ""
        file.seek(at)
        tag = file.read(11)
        if tag.startswith(b"FLV\x01"):
            return UNREAD
        at += 15 + number(tag, 1, 3)
    return ""


def _gif(file: BinaryIO, head: bytes, size: int) -> str:
    """Blocks, each of parts that begin with their length, up to a trailer."""
    file.seek(13 + _table(head[10:11]))
    parts = 0
    for _ in range(MAX_CHUNKS):
        look()
        kind = file.read(1)
        if kind == b"\x3b":
            return ""
        if kind == b"\x2c":
            file.seek(_table(file.read(9)[8:9]) + 1, 1)
        elif kind == b"\x21":
            file.seek(1, 1)
        else:
            return DAMAGED if kind else CUT
        while (length := file.read(1)) and length != b"\0":
            file.seek(length[0], 1)
            parts += 1
            if parts > _MAX_PARTS:
                return ""
    return ""


def _table(flags: bytes) -> int:
    """Return the bytes of a table of colours."""
    packed = flags[0] if flags else 0
    return 3 * 2 ** ((packed & 7) + 1) if packed & 0x80 else 0


def _png(file: BinaryIO, head: bytes, size: int) -> str:
    return CUT if b"IEND" not in _tail(file, size) else ""


def _jpeg(file: BinaryIO, head: bytes, size: int) -> str:
    """After the last scan comes the end of the image: coded data never look like it."""
    tail = _tail(file, size, 1 << 20)
    return CUT if tail.rfind(b"\xff\xd9") < max(0, tail.rfind(b"\xff\xda")) else ""


def _bmp(file: BinaryIO, head: bytes, size: int) -> str:
    return CUT if number(head, 2, order="little") > size + PADDING else ""


def _transport_stream(file: BinaryIO, head: bytes, size: int) -> str:
    """Packets of 188 bytes (204 with correction, 192 with a time code) follow one another to the end."""
    length = _packet_length(head)
    if size % length:
        return CUT
    file.seek(0)
    while packets := file.read(length << 16):
        look()
        marks = packets[4 if length == 192 else 0 :: length]
        if marks.count(_SYNC) != len(marks):
            return DAMAGED
    return ""


def _packet_length(head: bytes) -> int:
    for length, first in ((188, 0), (204, 0), (192, 4)):
        if all(head[at : at + 1] == _SYNC for at in range(first, min(len(head), 5 * length), length)):
            return length
    return 0


def _program_stream(file: BinaryIO, head: bytes, size: int) -> str:
    """Every packet states its length."""
    tail = _tail(file, size)
    at = tail.find(b"\0\0\x01\xba")
    while at >= 0 and at + 6 <= len(tail):
        kind = tail[at + 3]
        if tail[at : at + 3] != b"\0\0\x01" or kind < 0xB9:
            at = tail.find(b"\0\0\x01\xba", at)
            continue
        if kind == 0xB9:
            return ""
        if kind == 0xBA:
            second = tail[at + 4] >> 6 == 1
            at += 14 + (tail[at + 13] & 7 if at + 13 < len(tail) else 0) if second else 12
        else:
            at += 6 + number(tail, at + 4, 2)
        if at > len(tail):
            return CUT
    return CUT if at >= 0 and at != len(tail) and bool(tail[at:].strip(b"\0\xff")) else ""


def _nut(file: BinaryIO, head: bytes, size: int) -> str:
    """An index, which the last bytes tell the length of."""
    file.seek(max(0, size - 12))
    length = number(file.read(8), 0, 8)
    if length > size:
        return CUT
    file.seek(size - length)
    return "" if file.read(8) == _NUT_INDEX else CUT


def _asf(file: BinaryIO, head: bytes, size: int) -> str:
    """The file's size is in its properties."""
    at = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    live = at >= 0 and number(head, at + 88, 4, "little") & 1
    return CUT if at >= 0 and not live and number(head, at + 40, 8, "little") > size + PADDING else ""


def begins(*with_: bytes, at: int = 0) -> Callable[[bytes], object]:
    return lambda head: head.startswith(with_, at)


FORMATS: Formats = (
    (begins(b"RIFF", b"RIFX", b"FORM"), _riff),
    (begins(b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", at=4), _boxes),
    (begins(b"\x1a\x45\xdf\xa3"), _ebml),
    (begins(b"FLV\x01"), _flv),
    (begins(b"nut/multimedia container\0"), _nut),
    (begins(b"GIF87a", b"GIF89a"), _gif),
    (begins(b"\x89PNG"), _png),
    (begins(b"\xff\xd8\xff"), _jpeg),
    (begins(b"BM"), _bmp),
    (_packet_length, _transport_stream),
    (begins(b"\0\0\x01\xba"), _program_stream),
    (begins(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), _asf),
)
