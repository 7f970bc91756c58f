"""MP4s of a few kilobytes that declare more than a machine holds."""

from __future__ import annotations

import struct


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind: bytes, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", flags), *parts)


def words(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def picture() -> bytes:
    """Return the description of an H.264 stream of 64 x 48."""
    size = struct.pack(">HH", 64, 48) + words(0x480000, 0x480000, 0)
    return box(b"avc1", bytes(6), b"\0\1", bytes(16), size, b"\0\1", bytes(32), b"\0\x18\xff\xff")


def sound(frame: int = 0) -> bytes:
    """Return the description of PCM, or of a code whose packets hold `frame` samples."""
    begin = bytes(6) + b"\0\1" + struct.pack(">HHI", int(frame > 0), 0, 0)
    rate = struct.pack(">HHHHI", 1, 16, 0, 0, 44_100 << 16)
    return box(b"ima4" if frame else b"twos", begin, rate, words(frame, 34, 34, 2) if frame else b"")


def track(samples: int, number: int = 1, handler: bytes = b"vide", **tables: bytes) -> bytes:
    """Return a track of `samples` of one byte; `tables` are the contents of its boxes, by their names."""
    boxes = {
        "stsd": words(1) + picture(),
        "stts": words(1, samples, 512),
        "stsc": words(1, 1, samples, 1),
        "stsz": words(1, samples),
        "stco": words(1, 48),
        **tables,
    }
    edits = box(b"edts", full(b"elst", 0, boxes.pop("elst"))) if "elst" in boxes else b""
    table = box(b"stbl", *(full(name.encode(), 0, body) for name, body in boxes.items()))
    data = box(b"dinf", full(b"dref", 0, words(1), full(b"url ", 1)))
    head = full(b"vmhd", 1, bytes(8)) if handler == b"vide" else full(b"smhd", 0, bytes(4))
    media = box(
        b"mdia",
        full(b"mdhd", 0, words(0, 0, 12_800, 512 * samples % 2**32, 0x55C40000)),
        full(b"hdlr", 0, words(0), handler, bytes(13)),
        box(b"minf", head, data, table),
    )
    place = full(b"tkhd", 3, words(0, 0, number, 0, 1000), bytes(60), words(64 << 16, 48 << 16))
    return box(b"trak", place, edits, media)


def movie(*tracks: bytes) -> bytes:
    head = full(b"mvhd", 0, words(0, 0, 1000, 1000, 0x10000), b"\1\0", bytes(70), words(5))
    return box(b"moov", head, *tracks)


def mp4(*tracks: bytes) -> bytes:
    return box(b"ftyp", b"isom", words(512), b"isom") + box(b"mdat", bytes(4096)) + movie(*tracks)


def fragment(*boxes: bytes) -> bytes:
    header = full(b"tfhd", 0x020000, words(1))
    defaults = box(b"mvex", full(b"trex", 0, words(1, 1, 512, 1, 0)))
    part = box(b"moof", full(b"mfhd", 0, words(1)), box(b"traf", header, *boxes))
    return box(b"ftyp", b"isom", words(512), b"isom") + movie(track(0), defaults) + part


MANY = 30_000_000

BOMBS = {
    "samples of one size": mp4(track(MANY)),
    "tracks": mp4(*(track(MANY // 10, number) for number in range(1, 11))),
    "edits": mp4(track(300_000, elst=words(200) + 200 * words(3_750_000, 0, 0x10000))),
    "edits in one group of pictures": mp4(
        track(300_000, elst=words(200) + 200 * words(2, 300_000 * 512 - 1024, 0x10000), stss=words(1, 1))
    ),
    "chunks of plain sound": mp4(
        track(
            1000,
            handler=b"soun",
            stsd=words(1) + sound(),
            stts=words(1, 1000, 1),
            stsc=words(1, 1, 2**31 - 1, 1),
            stco=words(20, *[48] * 20),
        )
    ),
    "packets of plain sound": mp4(
        track(
            1000,
            handler=b"soun",
            stsd=words(1) + sound(160),
            stts=words(1, 1000, 1),
            stsc=words(1, 1, 2**31 - 1, 1),
            stco=words(3, *[48] * 3),
        )
    ),
    "a fragment": fragment(full(b"trun", 1, words(MANY, 100))),
    "encrypted samples": fragment(full(b"trun", 1, words(10, 100)), full(b"senc", 0, words(MANY))),
    "images": box(b"ftyp", b"heic", words(0), b"heic")
    + full(b"meta", 0, full(b"hdlr", 0, words(0), b"pict", bytes(13)), full(b"iinf", 1 << 24, words(2**28))),
    "a compressed header": box(b"ftyp", b"qt  ", words(0), b"qt  ")
    + box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", words(2**30), bytes(64)))),
    "a header that hides in free space": mp4() + box(b"free", movie(track(MANY))[8:]),
    "a header behind what is none": box(b"zzzz", bytes(100)) + mp4(track(MANY)),
}
