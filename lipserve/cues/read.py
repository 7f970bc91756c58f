"""Cues in the forms in which people have them: LipServe's own, NVIDIA's speaker data, sync.so's segments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any

from lipserve.cues import speaker_data, sync_so
from lipserve.cues.cue import FORMS, Cue, CueSheet, listed
from lipserve.errors import CueError

CueSource = str | PathLike[str] | Mapping[str, Any] | Sequence[Cue | Mapping[str, Any]] | CueSheet
"""Cues: a JSON file's path, its content, a list of cues, or cues that were read before."""

_MAX_FILE = 64 << 20  # bytes: speaker data has an entry for every frame


def read(source: CueSource, fps: Fraction, frames: int | None = None) -> CueSheet:
    """Return the cues of a file, or of a value that is already read.

    The forms are told apart by their keys: `cues` or a plain list (LipServe's own), `frames` (the speaker
    data of NVIDIA's LipSync NIM: for each frame `speakers` with `bbox`, `speaker_id`, `is_speaking`, and
    `bypass`), `segments` (those of sync.so's API, with its `input`). Paths are relative to the file.

    Args:
        fps, frames: of the video: speaker data has an entry for each of its frames. None: not known.

    Raises:
        CueError: the file cannot be read, has none of these forms, or asks for what cues cannot do.
    """
    if isinstance(source, CueSheet):
        return source
    if isinstance(source, str | PathLike):
        path = Path(source)
        return read(_relative(_load(path), path.parent), fps, frames)
    if isinstance(source, Sequence):
        source = {"cues": source}
    if "cues" in source or "bypass" in source:
        return CueSheet(**{key: tuple(listed(source, key)) for key in source})
    if "frames" in source:
        return speaker_data.read(source, fps, frames)
    if "segments" in source:
        return sync_so.read(source, fps)
    raise CueError("The cues have none of the known forms.", FORMS)


def _load(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise CueError(
            f"The cues {str(path)!r} cannot be opened ({error.strerror}).", "Check the path."
        ) from error
    if len(text) > _MAX_FILE:
        raise CueError(f"The cues {str(path)!r} are longer than {_MAX_FILE >> 20} MiB.", "Send fewer cues.")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CueError(f"The cues {str(path)!r} are not JSON ({error}).", FORMS) from error
    if isinstance(found, list):
        return {"cues": found}
    if not isinstance(found, dict):
        raise CueError(f"The cues {str(path)!r} are neither a list nor an object.", FORMS)
    return found


def _relative(value: Any, folder: Path) -> Any:
    """Return the value with the paths of speeches in it made relative to the folder of the file."""
    if isinstance(value, list):
        return [_relative(item, folder) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: _relative(item, folder) for key, item in value.items()}
    for key in ("speech", "url"):
        text = out.get(key)
        if isinstance(text, str) and "://" not in text:
            out[key] = str(folder / text)
    return out
