"""The videos of a folder: how a dataset names them, and who speaks in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lipserve.errors import SetupError

SUFFIXES = {".mp4", ".mpg", ".mpeg", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".ts", ".flv"}


@dataclass(frozen=True)
class Video:
    """A video to prepare: where it is, how the dataset names it, who speaks."""

    path: Path
    name: str
    speaker: str

    def sha256(self) -> str:
        """Return the digest of the file, or raise OSError."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def identifier(self) -> str:
        """Return what its files in the dataset begin with: no other name of a video gives the same."""
        readable = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in self.name)
        return f"{readable[-100:].lstrip('.')}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"


def find(roots: Sequence[Path], speakers: dict[str, str]) -> list[Video]:
    """Return the videos under folders (or the files themselves), in order of their names.

    Args:
        speakers: file name (or name under the folder) to speaker. Else a video is of the speaker that its
            folder names, and one that lies in no sub-folder is of a speaker of its own.

    Raises:
        SetupError: a root that does not exist; no video at all; two videos of one name.
    """
    found: dict[str, Video] = {}
    for root in roots:
        if not root.exists():
            raise SetupError(f"{root} does not exist.", "Give videos, or folders of videos.")
        files = sorted(root.rglob("*")) if root.is_dir() else [root]
        for path in files:
            if path.is_file() and (path == root or path.suffix.lower() in SUFFIXES):
                name = path.relative_to(root).as_posix() if root.is_dir() else path.name
                parent = path.parent.name if "/" in name else path.stem
                speaker = speakers.get(name) or speakers.get(path.name) or parent
                known = found.setdefault(name, Video(path, name, speaker))
                if not known.path.samefile(path):
                    raise SetupError(
                        f"{known.path} and {path} would both be called {name}.",
                        "Give the folder that contains both.",
                    )
    if not found:
        raise SetupError(
            f"{', '.join(map(str, roots))}: no video was found.",
            f"Give a folder with files of these kinds: {', '.join(sorted(SUFFIXES))}.",
        )
    return [found[name] for name in sorted(found)]
