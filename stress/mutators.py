"""What is done to a whole file so that it is damaged: to its bytes, or to the structure of its container."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

Mutator = Callable[[bytes, Random], bytes]

_TELLING = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"meta")
_TABLES = (b"stts", b"stsc", b"stsz", b"stco", b"ctts", b"stss", b"elst", b"stsd")
_PNG = b"\x89PNG\r\n\x1a\n"
_TS_PACKET = 188


def flipped(data: bytes, random: Random) -> bytes:
    """Flip one to sixty-four bits."""
    out = bytearray(data)
    for _ in range(2 ** random.randrange(7)):
        out[random.randrange(len(out))] ^= 1 << random.randrange(8)
    return bytes(out)


def telling(data: bytes, random: Random) -> bytes:
    """Write numbers at which programs break, of four bytes or eight, either way around."""
    out = bytearray(data)
    for _ in range(random.randint(1, 4)):
        form = random.choice((">I", "<I", ">Q", "<Q"))
        at = random.randrange(max(1, min(len(out), random.choice((256, len(out)))) - 8))
        struct.pack_into(form, out, at, random.choice(_TELLING))
    return bytes(out)


def noisy(data: bytes, random: Random) -> bytes:
    """Replace a block by noise, or by zeros."""
    first, last = _block(data, random)
    filling = random.randbytes(last - first) if random.random() < 0.5 else bytes(last - first)
    return data[:first] + filling + data[last:]


def cut(data: bytes, random: Random) -> bytes:
    """Keep the beginning alone."""
    return data[: random.randrange(len(data))]


def beheaded(data: bytes, random: Random) -> bytes:
    """Keep the end alone."""
    return data[random.randrange(1, len(data)) :]


def missing(data: bytes, random: Random) -> bytes:
    """Take a block out."""
    first, last = _block(data, random)
    return data[:first] + data[last:]


def repeated(data: bytes, random: Random) -> bytes:
    """Repeat a block, up to sixteen times."""
    first, last = _block(data, random)
    return data[:last] + data[first:last] * random.randint(1, 16) + data[last:]


def swapped(data: bytes, random: Random) -> bytes:
    """Swap two blocks that follow each other."""
    a, b, c = sorted(random.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def inserted(data: bytes, random: Random) -> bytes:
    """Put noise between two bytes."""
    at = random.randrange(len(data))
    return data[:at] + random.randbytes(random.choice((1, 3, 64, 4096))) + data[at:]


def doubled(data: bytes, random: Random) -> bytes:
    """Append the file, or a part of it, to itself."""
    return data + data[random.choice((0, random.randrange(len(data)))) :]


def boxes(data: bytes, random: Random) -> bytes:
    """MP4: drop, repeat, rename or resize a box, or change a number of a table."""
    found = list(_boxes(data, 0, len(data)))
    if not found:
        return telling(data, random)
    box = random.choice([box for box in found if box.kind in _TABLES] or found)
    if random.random() < 0.3:
        box = random.choice(found)
    out = bytearray(data)
    match random.randrange(5):
        case 0:
            del out[box.first : box.last]
        case 1:
            out[box.last : box.last] = data[box.first : box.last]
        case 2:
            out[box.first + 4 : box.first + 8] = random.choice([other.kind for other in found])
        case 3:
            struct.pack_into(">I", out, box.first, random.choice((0, 1, 7, 9, len(data), *_TELLING[6:])))
        case _:
            places = max(1, (min(box.last, box.first + 64) - box.first - 8) // 4)
            at = min(box.first + 8 + 4 * random.randrange(places), len(out) - 4)
            struct.pack_into(">I", out, at, random.choice((*_TELLING, random.getrandbits(24))))
    return bytes(out)


def chunks(data: bytes, random: Random) -> bytes:
    """RIFF (AVI, WAV, WebP) and AIFF: change the size of a chunk, or drop one."""
    if data[:4] not in (b"RIFF", b"FORM"):
        return noisy(data, random)
    order, at, found = ("<I" if data[:4] == b"RIFF" else ">I"), 12, [0]
    while at + 8 <= len(data) and len(found) < 64:
        found.append(at)
        at += 8 + (struct.unpack_from(order, data, at + 4)[0] + 1) // 2 * 2
    chunk = random.choice(found)
    if random.random() < 0.3 and chunk:
        return data[:chunk] + data[min(chunk + 8 + random.randrange(64), len(data)) :]
    out = bytearray(data)
    struct.pack_into(order, out, chunk + 4, random.choice((*_TELLING, len(data), random.getrandbits(16))))
    return bytes(out)


def png(data: bytes, random: Random) -> bytes:
    """PNG and APNG: change a chunk, and let its check sum be right."""
    if not data.startswith(_PNG):
        return flipped(data, random)
    out, at = [], len(_PNG)
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        out.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    if not out:
        return flipped(data, random)
    number = random.choice((0, random.randrange(len(out))))
    kind, body = out[number]
    out[number] = (kind, telling(body + bytes(8), random)[: max(4, len(body))])
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in out
    ]
    return _PNG + b"".join(parts)


def packets(data: bytes, random: Random) -> bytes:
    """Transport streams: drop, repeat and shuffle packets."""
    if data[:1] != b"G" or len(data) % _TS_PACKET:
        return swapped(data, random)
    rows = [data[at : at + _TS_PACKET] for at in range(0, len(data), _TS_PACKET)]
    first, last = sorted(random.randrange(len(rows) + 1) for _ in range(2))
    part = rows[first:last]
    match random.randrange(3):
        case 0:
            part = [row for row in part if random.random() < 0.7]
        case 1:
            part = part * random.randint(2, 4)
        case _:
            random.shuffle(part)
    return b"".join(rows[:first] + part + rows[last:])


MUTATORS: tuple[Mutator, ...] = (
    flipped, telling, noisy, cut, beheaded, missing, repeated, swapped, inserted, doubled,
    boxes, chunks, png, packets,
)  # fmt: skip


@dataclass(frozen=True)
class _Box:
    kind: bytes
    first: int
    last: int


def _boxes(data: bytes, first: int, last: int) -> Iterator[_Box]:
    """Yield the boxes of a stretch of an MP4, and those within them."""
    while first + 8 <= last:
        size, kind = struct.unpack_from(">I4s", data, first)
        if size < 8 or first + size > last or not kind.isalnum():
            return
        yield _Box(kind, first, first + size)
        if kind in _PARENTS:
            yield from _boxes(data, first + 8, first + size)
        first += size


def _block(data: bytes, random: Random) -> tuple[int, int]:
    """Return where a block of a random length, short ones more often, begins and ends."""
    size = min(len(data), 2 ** random.randrange(1, max(2, len(data).bit_length())))
    first = random.randrange(len(data) - size + 1)
    return first, first + size
