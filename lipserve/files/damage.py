"""Detection of damaged media files: their declared sizes and lengths against their content.

Only what a format states outright counts, so that a whole file, or one that was written live and states
nothing, is never called damaged.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from av.container import InputContainer
from av.stream import Stream

from lipserve.files import checksums, sound_tails, tails

TOLERANCE = 0.5  # seconds that a length may be off by

_STORED_LENGTH = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_HONEST = {"matroska,webm", "flv", "ivf", "asf", "flac", "wav", "w64", "aiff", "caf", "au", "tta", "wv"}
"""Formats whose length is in their header; FFmpeg estimates that of others from their bit rate, say."""


def declared_seconds(container: InputContainer, stream: Stream) -> float | None:
    """Return when a stream ends by the word of its file, seconds; None where the file does not say."""
    stored = _STORED_LENGTH.match(stream.metadata.get("DURATION", ""))  # of Matroska
    if stored is not None:
        return int(stored[1]) * 3600 + int(stored[2]) * 60 + float(stored[3])
    alone = len(container.streams) == 1  # else it may be the length of another stream
    if not alone or container.format.name not in _HONEST or container.duration is None:
        return None
    return container.duration / 1_000_000


def missing_tail(file: BinaryIO) -> list[str]:
    """Return, in words, what is wrong with the end of a file by the sizes that it states, if anything.

    Args:
        file: one that FFmpeg can open; it is left where it was, for FFmpeg may be reading it.
    """
    at, size = file.tell(), file.seek(0, 2)
    file.seek(0)
    head = file.read(tails.HEAD)
    formats = (*tails.FORMATS, *sound_tails.FORMATS, *checksums.FORMATS)
    faults = [wrong(file, head, size) for known, wrong in formats if known(head)]
    file.seek(at)
    return [text for text in faults if text]
