"""Which kind of media a file is, as far as the C2PA library has to be told."""

from __future__ import annotations

HEAD = 16  # bytes of a file that tell its kind

_MAGIC = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF8", "image/gif"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"%PDF-", "application/pdf"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftyp", "video/mp4"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/avi"),
)


def media_type(head: bytes) -> str | None:
    """Return the MIME type of the file that begins with `head`, or None for a kind that holds no manifest."""
    return next((kind for at, magic, kind in _MAGIC if head[at:].startswith(magic)), None)
