"""Cues in the forms in which people have them: LipServe's own, NVIDIA's speaker data, sync.so's segments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import groupby
from os import PathLike
from pathlib import Path
from typing import Any

from lipserve.cues.cue import MAX_CUES, Cue, CueSheet
from lipserve.errors import CueError

CueSource = str | PathLike[str] | Mapping[str, Any] | Sequence[Cue | Mapping[str, Any]]
"""Cues: a JSON file's path, its content, or a list of cues."""

_MAX_FILE = 64 << 20  # bytes: speaker data has an entry for every frame
_FORMS = "docs/cues.md shows the forms."


def read(source: CueSource, fps: Fraction) -> CueSheet:
    """Return the cues of a file, or of a value that is already read.

    The forms are told apart by their keys: `cues` or a plain list (LipServe's own), `frames` (the speaker
    data of NVIDIA's LipSync NIM: for each frame `speakers` with `bbox`, `speaker_id`, `is_speaking`, and
    `bypass`), `segments` (those of sync.so's API, with its `input`). Paths are relative to the file.

    Args:
        fps: of the video: speaker data counts frames.

    Raises:
        CueError: the file cannot be read, or has none of these forms.
    """
    if isinstance(source, str | PathLike):
        path = Path(source)
        return read(_relative(_load(path), path.parent), fps)
    if isinstance(source, Sequence):
        source = {"cues": source}
    for key, form in (("cues", _own), ("bypass", _own), ("frames", _speaker_data), ("segments", _segments)):
        if key in source:
            return form(source, fps)
    raise CueError("The cues have none of the known forms.", _FORMS)


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
        raise CueError(f"The cues {str(path)!r} are not JSON ({error}).", _FORMS) from error
    if isinstance(found, list):
        return {"cues": found}
    if not isinstance(found, dict):
        raise CueError(f"The cues {str(path)!r} are neither a list nor an object.", _FORMS)
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


def _own(source: Mapping[str, Any], fps: Fraction) -> CueSheet:
    return CueSheet(**{key: tuple(_list(source, key)) for key in source})


def _speaker_data(source: Mapping[str, Any], fps: Fraction) -> CueSheet:
    """Return a cue for every stretch in which a speaker speaks: a face is followed from its first box."""
    speaking: dict[int, list[tuple[int, str]]] = {}
    for number, frame in enumerate(_list(source, "frames")):
        for speaker, face in _speakers(frame, number):
            speaking.setdefault(speaker, []).append((number, face))
    cues = []
    for places in speaking.values():
        for _, run in groupby(enumerate(places), lambda item: item[1][0] - item[0]):
            frames = [place for _, place in run]
            start, end = frames[0][0] / fps, (frames[-1][0] + 1) / fps
            cues.append({"start": float(start), "end": float(end), "face": frames[0][1]})
    if len(cues) > MAX_CUES:
        raise CueError(f"The speaker data has {len(cues)} stretches.", f"Send at most {MAX_CUES}.")
    return CueSheet(cues=tuple(sorted(cues, key=lambda cue: cue["start"])))


def _speakers(frame: Any, number: int) -> Iterator[tuple[int, str]]:
    """Yield the number of each speaker of a frame who is to be driven, and the middle of the face."""
    if not isinstance(frame, Mapping):
        raise CueError(f"Frame {number} of the speaker data is not an object.", _FORMS)
    if frame.get("bypass"):
        return
    speakers = frame.get("speakers") or []
    if not speakers:  # nobody is named: the service looks for itself
        yield -1, "largest"
    for speaker in speakers:
        try:
            box = speaker["bbox"]
            if isinstance(box, Mapping):
                box = [box[name] for name in ("x", "y", "width", "height")]
            x, y, width, height = (float(value) for value in box)
            who = int(speaker.get("speaker_id", speaker.get("face_tracker_id", 0)))
            talks = bool(speaker.get("is_speaking", False))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise CueError(
                f"A speaker of frame {number} of the speaker data cannot be read.", _FORMS
            ) from error
        if talks and width > 0 and height > 0:
            yield who, f"{max(0.0, x + width / 2):.1f},{max(0.0, y + height / 2):.1f}"


def _segments(source: Mapping[str, Any], fps: Fraction) -> CueSheet:
    """Return a cue for every segment of sync.so's API."""
    inputs = [item for item in _list(source, "input") if isinstance(item, Mapping)]
    speeches = {str(item["refId"]): item.get("url") for item in inputs if "refId" in item}
    return CueSheet(cues=tuple(_segment(item, speeches) for item in _list(source, "segments")))


def _segment(item: Any, speeches: Mapping[str, Any]) -> dict[str, Any]:
    try:
        start, end, audio = item["startTime"], item["endTime"], item["audioInput"]
        name = str(audio["refId"])
        first, last = audio.get("startTime", 0.0), audio.get("endTime")
        if last is not None:
            end = min(end, start + last - first)
    except (TypeError, KeyError, AttributeError) as error:
        raise CueError("A segment lacks startTime, endTime or audioInput with refId.", _FORMS) from error
    if name not in speeches:
        raise CueError(
            f"No `input` has the refId {name!r}.", f"Name an audio input {name!r}, with its path as `url`."
        )
    speech = speeches[name]
    if not isinstance(speech, str) or "://" in speech:
        raise CueError(
            f"The speech {name!r} is not a file on this machine.",
            f"Download it, and put its path in the `url` of the `input` with refId {name!r}.",
        )
    override = item.get("optionsOverride") or {}
    face = _active_speaker(override.get("active_speaker_detection") or {}, set(override))
    return {"start": start, "end": end, "speech": speech, "offset": first, "face": face}


def _active_speaker(choice: Mapping[str, Any], keys: set[str]) -> str:
    others = ", ".join(sorted(keys - {"active_speaker_detection"}))
    if others:
        raise CueError(f"optionsOverride names {others}, which a cue does not have.", "Leave it out.")
    if choice.get("coordinates"):
        x, y = choice["coordinates"]
        return f"{float(x)},{float(y)}"
    boxes = [box for box in choice.get("bounding_boxes") or [] if box]
    if boxes:
        left, top, right, bottom = (float(value) for value in boxes[0])
        return f"{(left + right) / 2},{(top + bottom) / 2}"
    return "largest"


def _list(source: Mapping[str, Any], key: str) -> list[Any]:
    found = source.get(key) or []
    if isinstance(found, str | bytes) or not isinstance(found, Sequence):
        raise CueError(f"{key} is not a list.", _FORMS)
    return list(found)
