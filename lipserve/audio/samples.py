"""Speech as samples: mono float32 in [-1, 1]."""

from __future__ import annotations

import errno
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipserve.audio.reader import open_audio
from lipserve.contracts import SAMPLE_RATE
from lipserve.errors import AudioError, LimitError, StorageError
from lipserve.files.picture import MediaSource

Samples = NDArray[np.float32]

MAX_SECONDS = 4 * 3600.0
"""Longest speech that is accepted unless the caller says otherwise."""


def warnings(faults: Sequence[str]) -> list[str]:
    """Return the report's warnings on a speech in which `load` found faults."""
    return [f"The speech is cut short or damaged ({fault}): what it holds is used." for fault in faults[:1]]


def load(
    source: MediaSource,
    rate: int = SAMPLE_RATE,
    *,
    track: int | None = None,
    max_seconds: float = MAX_SECONDS,
    faults: list[str] | None = None,
) -> Samples:
    """Return the speech of a file (any container or codec; a video's sound too): float32 [n], n > 0.

    Channels are mixed to one (`lipserve.audio.mix`), and what is beyond full scale is clipped. A 32-bit float
    mono file at `rate` comes back bit for bit. Sound that begins after the pictures of its file begins with
    silence.

    Args:
        track: which audio stream, counted from 0; None: the one flagged as the default, or the first.
        faults: takes, in words, in which ways the sound is not whole.

    Raises:
        AudioError: empty, no media, no sound, damaged from the start, values that are no samples (no numbers,
            or 60 dB above full scale), a rate or channels out of bounds, or shorter than one sample.
        OptionsError: there is no such track.
        LimitError: longer than `max_seconds`.
    """
    samples = bytearray()
    for block in _mono(source, rate, track, max_seconds, faults):
        samples += block.data
    return np.frombuffer(samples, np.float32)


def spool(
    source: MediaSource,
    directory: str | os.PathLike[str],
    rate: int = SAMPLE_RATE,
    *,
    track: int | None = None,
    max_seconds: float = MAX_SECONDS,
    faults: list[str] | None = None,
) -> Samples:
    """Return the samples of `load` as a read-only map of a temporary file: constant memory.

    The file has no name in `directory` and vanishes with the array.

    Raises:
        AudioError, OptionsError, LimitError: as `load`.
        StorageError: `directory` is full.
    """
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        count = 0
        for block in _mono(source, rate, track, max_seconds, faults):
            _append(file.fileno(), block.data.cast("B"))
            count += len(block)
        return np.memmap(file, np.float32, "r", shape=(count,))


def lengthened(samples: Samples, count: int) -> Samples:
    """Return the samples with silence after them, `count` in all at least."""
    return np.pad(samples, (0, max(0, count - len(samples))))


def wav(samples: Samples, rate: int = SAMPLE_RATE) -> bytes:
    """Return float32 [n] as a 32-bit float WAV file, from which `load` gives the same bits."""
    data = np.ascontiguousarray(samples, "<f4")
    if data.nbytes > 2**32 - 64:
        raise LimitError("A WAV file holds at most 4 GiB.", "Send the speech in shorter stretches.")
    form = struct.pack("<4sIHHIIHHH", b"fmt ", 18, 3, 1, rate, rate * 4, 4, 32, 0)  # 3: IEEE float
    fact = struct.pack("<4sII", b"fact", 4, data.size)
    body = b"WAVE" + form + fact + struct.pack("<4sI", b"data", data.nbytes)
    return struct.pack("<4sI", b"RIFF", len(body) + data.nbytes) + body + data.tobytes()


def envelope(samples: Samples, fps: Fraction, frames: int, rate: int = SAMPLE_RATE) -> Samples:
    """Return the loudness of the speech in each video frame: RMS, float32 [frames], 0 after its end."""
    edges = np.arange(frames + 1) * (rate * fps.denominator) // fps.numerator  # samples
    count = int(np.searchsorted(edges[:-1], len(samples)))  # frames that begin within the speech
    loudness = np.zeros(frames, np.float32)
    if count:
        squares = np.square(samples[: edges[count]])
        sums = np.add.reduceat(squares, edges[:count], dtype=np.float64)
        loudness[:count] = np.sqrt(sums / np.diff(np.append(edges[:count], len(squares))))
    return loudness


def _mono(
    source: MediaSource, rate: int, track: int | None, max_seconds: float, faults: list[str] | None
) -> Iterator[Samples]:
    most = left = int(max_seconds * rate)
    with open_audio(source, track, faults) as reader:
        if reader.seconds is not None and reader.seconds > max_seconds:
            raise _too_long(max_seconds)
        for block in reader.blocks(rate, channels=1):
            left -= block.shape[1]
            if left < 0:
                raise _too_long(max_seconds)
            yield block[0]
    if left == most:
        raise AudioError(f"The speech is shorter than one sample at {rate} Hz.", "Send a longer speech.")


def _too_long(max_seconds: float) -> LimitError:
    return LimitError(
        f"The speech is longer than {max_seconds / 60:g} minutes.", "Cut the speech into several requests."
    )


def _append(file: int, data: memoryview) -> None:
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError(
                "The speech cannot be unpacked: the disk for temporary files is full.",
                "Free space there, and send the request again.",
            ) from error
        raise
