"""MP4 output to a path or an open file: its index moved to the front at the end, or in fragments."""

from __future__ import annotations

import errno
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import av

from lipserve.errors import InputError, InternalError, StorageError

Target = BinaryIO | str | os.PathLike[str]
"""The target of a result: a path, or an empty, seekable file that is also open for reading."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CHUNK = 1 << 17  # bytes, of one call from FFmpeg
_FRAGMENT = 200_000  # microseconds: a player has a fragment at once, and its head costs little
_WHOLE = {"movflags": "+faststart"}
_STREAMED = {
    "movflags": "+delay_moov+default_base_moof+frag_keyframe",
    "frag_duration": str(_FRAGMENT),
}


class AllOrNothing(ABC):
    """A file in the making, as a context manager: left in order it is finished, after an error given up."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""

    @abstractmethod
    def abort(self) -> None:
        """Give the file up; one that was created is removed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abort()
            return
        try:
            self.close()
        except BaseException:
            self.abort()
            raise


class Mp4Output:
    """An MP4 file that is being written. End with `close`, or with `abort` after a failure.

    Args:
        streamed: write fragments, each of which can be played when it is there; nothing is sought then.

    Attributes:
        container: add streams to it; give packets to `mux`.

    Raises, from every method:
        StorageError: the disk is full.
        InternalError: FFmpeg refused what it was given.
    """

    def __init__(self, target: Target, streamed: bool = False) -> None:
        self._path = Path(target) if isinstance(target, str | os.PathLike) else None
        self._file = file = _create(Path(target)) if isinstance(target, str | os.PathLike) else target
        self._sink = _Pipe(file) if streamed else _Sink(file)
        self.container = av.open(
            self._sink,
            mode="w",
            format="mp4",
            container_options=_STREAMED if streamed else _WHOLE,
            # The muxer opens its own output a second time, to move the index to the front.
            io_open=None if streamed else lambda url, flags, options: _Rereader(file),
            buffer_size=_CHUNK,
        )

    def mux(self, packet: av.Packet[Any]) -> None:
        """Write a packet of one of the container's streams; packets of several are interleaved by time."""
        with self.failures():
            self.container.mux_one(packet)

    def close(self) -> None:
        """Finish the file, so that it can be played."""
        with self.failures():
            self.container.close()
            self._sink.check()
            self._file.flush()
            if self._path is not None:
                self._file.close()

    def abort(self) -> None:
        """Give the file up; a file that was created for it is removed."""
        self._sink.closed = True  # PyAV then writes no index
        self.container.close()
        if self._path is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn what the disk or FFmpeg refuses inside the block into the tree's own errors."""
        try:
            yield
        except (OSError, av.FFmpegError) as error:
            cause = self._sink.failure or error
            if getattr(cause, "errno", None) in _FULL:
                raise StorageError(
                    "The result cannot be written: the disk is full.",
                    "Free space where results are written, and send the request again.",
                ) from error
            raise InternalError(f"The result could not be written ({cause}).") from error


class _Pipe:
    """The file as PyAV wants it: complete writes, and errors as numbers, which FFmpeg carries on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None
        self.closed = False

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            return self._failed(error)
        return len(data)

    def _failed(self, error: OSError) -> int:
        self.failure = self.failure or error
        return -(error.errno or errno.EIO)

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure


class _Sink(_Pipe):
    """A file in which places are sought."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.tell = file.tell

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError as error:  # a buffered file writes here
            return self._failed(error)


class _Rereader:
    """A second reader of a file that is being written, with a position of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0

    def read(self, size: int) -> bytes:
        writer = self._file.tell()
        self._file.seek(self._position)
        data = self._file.read(size)
        self._position += len(data)
        self._file.seek(writer)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation(f"whence {whence}")
        self._position = offset
        return offset

    def tell(self) -> int:
        return self._position


def _create(path: Path) -> BinaryIO:
    try:
        return cast(BinaryIO, path.open("w+b", buffering=0))
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError(f"{path} cannot be created: the disk is full.", "Free space there.") from error
        raise InputError(
            f"{path} cannot be written ({error.strerror}).", "Give a path in a folder that can be written."
        ) from error
