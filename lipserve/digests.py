"""Digests of files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, BinaryIO, cast


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal; the file need not fit into memory."""
    with path.open("rb") as file:
        return sha256(file)


def sha256(file: BinaryIO) -> str:
    """Return the sha256 of an open file from its beginning, in hexadecimal."""
    file.seek(0)
    return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
