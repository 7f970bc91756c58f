"""Where a result is written: beside its final name, and renamed once it is whole."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

import av

from lipserve.errors import InputError, SetupError
from lipserve.media.picture import MediaSource
from lipserve_client._hidden import hidden_file, sweep

Target = str | PathLike[str] | BinaryIO
"""A path, or a binary file that is open for writing, standard output's for example."""

FILM = frozenset({".mp4", ".m4v"})
NO_MEDIA = frozenset[str]()


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
    """

    def __init__(
        self,
        target: Target | None,
        sources: tuple[MediaSource, ...] = (),
        names: frozenset[str] = FILM,
    ) -> None:
        self._target = target
        self._path: Path | None = None
        if not isinstance(target, str | PathLike):
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

    def commit(self) -> bytes | Path | None:
        """Give the result where it is wanted, and return that: the path, nothing, or the content."""
        with explained(self._named()):
            if self._path is not None:
                self._path.replace(self._final)
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
        if isinstance(self._target, str | PathLike):
            return Path(self._target)
        return Path(tempfile.gettempdir()) if self._target is None else Path(str(self._target.name))


def write_whole(target: Path, text: str) -> None:
    """Write a text into a file that appears whole or not at all; its name was looked at by `check_target`."""
    with Output(target, names=NO_MEDIA) as output:
        output.write(text.encode())
        output.commit()


def check_target(target: Path, sources: tuple[MediaSource, ...] = (), names: frozenset[str] = FILM) -> Path:
    """Return the file that `target` names, its symbolic links followed.

    Raises:
        InputError: it is there and no regular file, its folder is not there, it is one of `sources`, or its
            name promises a kind of media that is not among `names`.
        SetupError: the disk refuses to tell: a name that is too long, a folder that is closed to us.
    """
    with explained(target):
        kind = _kind(target)
        final = Path(os.path.realpath(target))
        if kind is not None and stat.S_ISDIR(kind):
            raise InputError(f"{target} is a directory.", "Name the file to write, such as out.mp4.")
        if kind is not None and not stat.S_ISREG(kind):
            raise InputError(f"{target} is no regular file.", "Name the file to write, such as out.mp4.")
        if not final.parent.is_dir():
            raise InputError(f"The directory of {target} does not exist.", "Create it first.")
    if any(not isinstance(source, bytes) and _same_file(target, source) for source in sources):
        raise InputError(f"{target} is one of the inputs.", "Name another output.")
    ending = target.suffix.lower()
    if ending not in names and ending.removeprefix(".") in _media_endings():
        what = "an MP4 file" if names else "no media"
        raise InputError(
            f"What is written there is {what}, and {target} promises another kind.",
            f"Name it {target.with_suffix(max(names, default='')).name}, for example.",
        )
    return final


def check_apart(one: Path, other: Path) -> None:
    """Raise InputError where two results have the same name."""
    if _same_file(one, other):
        raise InputError(f"{one} and {other} are the same file.", "Give each result a name of its own.")


def _kind(target: Path) -> int | None:
    try:
        return target.stat().st_mode
    except FileNotFoundError:
        return None
    except ValueError as error:  # a zero byte in it
        raise InputError(
            f"{target} is no file's name.", "Name the file to write, such as out.mp4."
        ) from error


def _media_endings() -> set[str]:
    """Return the endings of the names that FFmpeg gives to what it writes."""
    found: set[str] = set()
    for name in av.formats_available:
        with suppress(ValueError):  # it is only read
            found |= av.ContainerFormat(name, "w").extensions
    return found


def _same_file(target: Path, source: str | PathLike[str]) -> bool:
    try:
        if os.path.realpath(target) == os.path.realpath(source):
            return True
        return target.samefile(source)
    except (OSError, ValueError):  # one does not exist; what else is wrong with a source, its reader says
        return False


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the disk refuses inside the block into SetupError; not that a pipe's reader has left."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SetupError(
            f"Cannot write {path}: {error.strerror}.",
            "Free some space, or name a place that can be written.",
        ) from error
