"""Validation of output files, before any work is done for them."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import av

from lipserve.errors import InputError, SetupError
from lipserve.files.picture import MediaSource

Target = str | PathLike[str] | BinaryIO
"""A path, or a binary file that is open for writing, standard output's for example."""

FILM = frozenset({".mp4", ".m4v"})
NO_MEDIA = frozenset[str]()


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
            raise InputError(f"{target} is not a regular file.", "Name the file to write, such as out.mp4.")
        if not final.parent.is_dir():
            raise InputError(f"The directory of {target} does not exist.", "Create it first.")
    if any(not isinstance(source, bytes) and _same_file(target, source) for source in sources):
        raise InputError(f"{target} is one of the inputs.", "Give another output.")
    ending = target.suffix.lower()
    if ending not in names and ending.removeprefix(".") in _media_endings():
        what = "an MP4 file" if names else "no media"
        raise InputError(
            f"The result is {what}, but the name {target} belongs to another kind of file.",
            f"Name it {target.with_suffix(max(names, default='')).name}, for example.",
        )
    return final


def check_stream(target: object) -> None:
    """Raise InputError if a result cannot be copied to `target`, before any work."""
    if target is None:
        return
    writable = getattr(target, "writable", None)
    if isinstance(target, io.TextIOBase) or writable is None or target.closed or not writable():  # type: ignore[attr-defined]
        raise InputError(
            "output is neither a path nor a binary file that is open for writing.",
            "Open it with the mode 'wb'.",
        )


def check_apart(one: Path, other: Path) -> None:
    """Raise InputError if two results have the same name."""
    if _same_file(one, other):
        raise InputError(f"{one} and {other} are the same file.", "Give each result a name of its own.")


def _kind(target: Path) -> int | None:
    try:
        return target.stat().st_mode
    except FileNotFoundError:
        return None
    except ValueError as error:  # a zero byte in it
        raise InputError(
            f"{target} is not the name of a file.", "Name the file to write, such as out.mp4."
        ) from error


def _media_endings() -> set[str]:
    """Return the file name extensions of the formats that FFmpeg writes."""
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
    """Turn disk errors inside the block into SetupError, except a closed pipe."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SetupError(
            f"Cannot write {path}: {error.strerror}.",
            "Free some space, or give a place that can be written.",
        ) from error
