"""Safe opening of a user's media file: FFmpeg reads nothing but this file."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from lipserve import memory
from lipserve.errors import LimitError, LipServeError
from lipserve.files.picture import MAX_PIXELS, MediaSource
from lipserve.files.tables import excess

# Chapters are titles, which a few bytes can declare any number of, and nobody asks for them.
_OPTIONS = {"protocol_whitelist": "none", "ignore_chapters": "1"}
_Of = TypeVar("_Of", bound=Stream)
_READ_SIZE = 1 << 17  # bytes a read: FFmpeg's own 32 KiB costs four times the calls into Python


def content(source: MediaSource) -> bytes:
    """Return a whole file."""
    return source if isinstance(source, bytes) else Path(source).read_bytes()


@contextmanager
def open_source(source: MediaSource, refusal: type[LipServeError]) -> Iterator[InputContainer]:
    """Open `source` for demuxing.

    Args:
        source: the bytes of a file, or the path of a regular local file (never a URL).
        refusal: the error to raise where the source is empty, missing, or no media that FFmpeg knows:
            VideoError or AudioError, say; LimitError where its header declares more than anybody needs.
    """
    with open_checked(source, refusal) as file, demuxer(file, describe(source), refusal) as container:
        yield container


@contextmanager
def open_checked(source: MediaSource, refusal: type[LipServeError]) -> Iterator[BinaryIO]:
    """Open a file that `demuxer` may have: see `open_source`. It is left anywhere."""
    with open_file(source, refusal) as file:
        fault = excess(file)
        if fault is not None:
            raise LimitError(
                f"{describe(source)} cannot be served: {fault}.",
                "Write the file again: ffmpeg -i INPUT -c copy OUTPUT.",
            )
        yield file


@contextmanager
def demuxer(
    file: BinaryIO, name: str, refusal: type[LipServeError], options: Mapping[str, str] | None = None
) -> Iterator[InputContainer]:
    """Demux an open file, from its beginning.

    FFmpeg is handed an open file and no protocol at all, so a playlist, a session description or a
    concatenation script cannot make it read another file or a network address.

    Args:
        file: of `open_checked`.
        name: how an error calls it.
        refusal: as for `open_source`.
        options: FFmpeg's, of the demuxer and the decoders, by name.
    """
    file.seek(0)
    try:
        with memory.opening():
            container = av.open(
                file,
                mode="r",
                # FFmpeg decodes a little of every stream to know it: no more than a picture may have.
                options={"max_pixels": str(MAX_PIXELS)} | dict(options or {}),
                container_options=_OPTIONS,
                metadata_errors="replace",
                buffer_size=_READ_SIZE,
            )
    except MemoryError as error:
        raise LimitError(
            f"{name} needs more than {memory.OPENING >> 20} MiB of memory to be opened.",
            "Write the file again: ffmpeg -i INPUT -map_metadata -1 -c copy OUTPUT.",
        ) from error
    except (av.FFmpegError, ValueError) as error:
        raise refusal(
            f"{name} is not a media file that can be read ({_reason(error)}).",
            "Send a complete media file, such as MP4, MKV, WAV or MP3; a playlist or an address is none.",
        ) from error
    with container:
        yield container


def demuxed(container: InputContainer, stream: _Of) -> Iterator[Packet[_Of]]:
    """Yield the packets of a stream, and an empty one where they end.

    PyAV 18.1 knows the streams that a file began with. Where others have turned up while it read (packets of
    a transport stream that nothing announces), it gives IndexError, behind the empty packet.
    """
    packets = cast("Iterator[Packet[_Of]]", container.demux(stream))
    while True:
        try:
            packet = next(packets, None)
        except IndexError:
            return
        if packet is None:
            return
        yield packet


def open_file(source: MediaSource, refusal: type[LipServeError]) -> BinaryIO:
    if isinstance(source, bytes):
        if not source:
            raise refusal("The file is empty.", "Send the whole file.")
        return io.BytesIO(source)
    try:
        # Opened by number: PyAV gives FFmpeg the name of a Python file, and FFmpeg judges by names such as
        # img%d.png that it should read a sequence of files. Not blocking: a FIFO must not hang the caller.
        number = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise refusal(
            f"{describe(source)} cannot be opened ({_reason(error)}).", "Check the path."
        ) from error
    status = os.fstat(number)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        os.close(number)
        empty = stat.S_ISREG(status.st_mode)
        raise refusal(
            f"{describe(source)} is {'empty' if empty else 'not a regular file'}.",
            "Give the path of a complete media file.",
        )
    return cast(BinaryIO, open(number, "rb"))


def describe(source: MediaSource) -> str:
    """Return the name of a file for error messages."""
    return "The file" if isinstance(source, bytes) else f"{os.fspath(source)!r}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
