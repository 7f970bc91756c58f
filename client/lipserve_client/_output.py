"""The file of a result: written beside its final name, and renamed when it is complete."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from lipserve.files.picture import MediaSource
from lipserve_client._hidden import hidden_file, sweep
from lipserve_client._targets import FILM, NO_MEDIA, Target, check_stream, check_target, explained


class Output:
    """A file that appears whole where it is wanted, or not at all.

    A context manager: what has not been committed when it is left is gone.

    Args:
        target: a path, whose symbolic links are followed; an open file, which the result is copied to once it
            is whole; None: the result is wanted as bytes.
        sources: files that the result must not overwrite.
        names: endings of media that the target's name may have; those of no media are always right.

    Attributes:
        file: where to write.
        streamed: what is written is handed out at once.
    """

    streamed = False

    def __init__(
        self,
        target: Target | None,
        sources: tuple[MediaSource, ...] = (),
        names: frozenset[str] = FILM,
    ) -> None:
        self._target = target
        self._path: Path | None = None
        if not isinstance(target, str | PathLike):
            check_stream(target)
            with explained(Path(tempfile.gettempdir())):
                self.file = cast(BinaryIO, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
            return
        self._final = check_target(Path(target), sources, names)
        sweep(self._final.parent)
        with explained(self._final.parent):
            self._path, self.file = hidden_file(self._final.parent)

    def write(self, content: bytes) -> None:
        """Write the whole result."""
        rest = memoryview(content)
        with explained(self._named()):
            while rest:
                rest = rest[self.file.write(rest) :]

    def rewrite(self, change: Callable[[BinaryIO, BinaryIO], None]) -> None:
        """Put another file in this one's place; `change(this, other)` writes it. Both are there then."""
        beside: Path | None = None
        with explained(self._named()):
            if self._path is None:
                other = cast(BinaryIO, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
            else:
                beside, other = hidden_file(self._final.parent)
        try:
            with explained(self._named()):
                change(self.file, other)
        except BaseException:
            other.close()
            if beside is not None:
                beside.unlink(missing_ok=True)
            raise
        self.discard()
        self.file, self._path = other, beside

    async def taken(self) -> None:
        """Wait while more has been written than can be kept: a file keeps everything."""

    def commit(self) -> bytes | Path | None:
        """Give the result where it is wanted, and return that: the path, nothing, or the content."""
        with explained(self._named()):
            if self._path is not None:
                move(self._path, self._final)
                self.file.close()
                return self._named()
            self.file.seek(0)
            if self._target is None:
                return self.file.read()
            target = cast(BinaryIO, self._target)
            shutil.copyfileobj(self.file, target, 1 << 20)
            target.flush()
            return None

    def discard(self) -> None:
        """Remove what has not been committed."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _named(self) -> Path:
        """Return what a message calls the target."""
        if isinstance(self._target, str | PathLike):
            return Path(self._target)
        return Path(
            tempfile.gettempdir() if self._target is None else str(getattr(self._target, "name", "it"))
        )


def write_whole(target: Path, content: str | bytes, names: frozenset[str] = NO_MEDIA) -> None:
    """Write a file that appears whole or not at all.

    Args:
        names: endings of media that the target's name may have.

    Raises:
        InputError: it cannot be written there.
    """
    with Output(target, names=names) as output:
        output.write(content.encode() if isinstance(content, str) else content)
        output.commit()


def move(path: Path, final: Path) -> None:
    """Give a whole file its final name; one that cannot be renamed over is written through.

    Another file system's, behind a link, and a file that a container has mounted by itself are such.
    """
    try:
        path.replace(final)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EBUSY):
            raise
        shutil.copyfile(path, final)
        path.unlink()
