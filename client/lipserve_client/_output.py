"""Where a result is written: beside its final name, and renamed once it is whole."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from lipserve.errors import InputError, SetupError
from lipserve.media.picture import MediaSource


class Output:
    """A file that appears whole under its name, or not at all.

    Args:
        target: the final name; None: the result is wanted as bytes.
        sources: files that the result must not overwrite.

    Attributes:
        path: where to write.
    """

    def __init__(self, target: str | PathLike[str] | None, sources: tuple[MediaSource, ...] = ()) -> None:
        self._target = None if target is None else Path(target)
        if self._target is not None:
            check_target(self._target, sources)
        folder = Path(tempfile.gettempdir()) if self._target is None else self._target.absolute().parent
        self.path = folder / f".lipserve-{secrets.token_hex(8)}.mp4"
        with explained(folder):
            self.path.touch(0o600 if self._target is None else 0o666, exist_ok=False)

    def write(self, content: bytes) -> None:
        """Write the whole result."""
        with explained(self.path):
            self.path.write_bytes(content)

    def commit(self) -> bytes | Path:
        """Give the file its final name and return that; without one, return the content."""
        with explained(self._target or self.path):
            if self._target is None:
                return self.path.read_bytes()
            self.path.replace(self._target)
            return self._target

    def discard(self) -> None:
        """Remove what has not been committed."""
        self.path.unlink(missing_ok=True)


def check_target(target: Path, sources: tuple[MediaSource, ...]) -> None:
    """Raise InputError where `target` is no file's name in a folder that exists, or is one of `sources`.

    SetupError where the disk refuses to tell: a name that is too long, a folder that is closed to us.
    """
    with explained(target):
        if target.is_dir():
            raise InputError(f"{target} is a directory.", "Name the file to write, such as out.mp4.")
        if not target.absolute().parent.is_dir():
            raise InputError(f"The directory of {target} does not exist.", "Create it first.")
    if any(not isinstance(source, bytes) and _same_file(target, source) for source in sources):
        raise InputError(f"{target} is one of the inputs.", "Name another output.")


def _same_file(target: Path, source: str | PathLike[str]) -> bool:
    try:
        return target.samefile(source)
    except OSError:  # one does not exist; what else is wrong with a source, its reader says
        return False


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the disk refuses inside the block into SetupError."""
    try:
        yield
    except OSError as error:
        raise SetupError(
            f"Cannot write {path}: {error.strerror}.",
            "Free some space, or name a place that can be written.",
        ) from error
