"""Texts and profiles that unpack to gigabytes are refused, ordinary ones are not read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import pytest

from lipserve.errors import LimitError
from lipserve.media.png import MAX_UNPACKED, check
from lipserve.media.probe import probe

Clip = Callable[..., bytes]


def _packed(size: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


def _with(png: bytes, kind: bytes, body: bytes) -> bytes:
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    at = png.index(b"fcTL") - 4 if b"fcTL" in png else 33
    return png[:at] + chunk + png[at:]


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
@pytest.mark.parametrize("codec", ["png", "apng"])
def test_chunks_that_unpack_to_too_much_are_refused(clip: Clip, codec: str, kind: bytes) -> None:
    container = "image2pipe" if codec == "png" else "apng"
    plain = clip(2, codec=codec, container=container, pix_fmt="rgb24")
    for size, refused in ((MAX_UNPACKED, False), (MAX_UNPACKED + (1 << 20), True)):
        data = _with(plain, kind, b"Comment\0\0" + _packed(size))
        assert len(data) < len(plain) + 40_000
        if refused:
            with pytest.raises(LimitError, match="unpacks"):
                probe(data)
        else:
            assert probe(data).codec in ("png", "apng")


def test_chunks_without_text_are_left_to_the_decoder(clip: Clip) -> None:
    plain = clip(1, codec="png", container="image2pipe", pix_fmt="rgb24")
    for body in (b"", b"Comment", b"Comment\0\0" + bytes(60_000)):
        assert probe(_with(plain, b"zTXt", body)).still


def test_a_flood_of_chunks_is_refused() -> None:
    with pytest.raises(LimitError, match="chunks"):
        check(b"\0\0\0\0tEXt\0\0\0\0" * 250_000)
