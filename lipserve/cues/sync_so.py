"""Cues from a request to sync.so's API: its segments, each with a speech and perhaps a face.

What LipServe has too is read. What changes the result and cannot be had is refused; all else that is not
followed is told in one warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from lipserve.cues.cue import FORMS, CueSheet, listed
from lipserve.errors import CueError

_READ = frozenset({"input", "segments", "options"})
_LENGTHS = ("silence", "cut_off")  # of sync_mode: what cues do where speech and segment differ in length
_SPEAKER = "active_speaker_detection"
_SPEAKER_READ = frozenset({"auto_detect", "coordinates", "bounding_boxes", "frame_number"})


def read(source: Mapping[str, Any], fps: Fraction) -> CueSheet:
    """Return a cue for every segment.

    Raises:
        CueError: it cannot be read, or asks for what cues cannot do.
    """
    inputs = [item for item in listed(source, "input") if isinstance(item, Mapping)]
    speeches = {str(item["refId"]): item.get("url") for item in inputs if "refId" in item}
    left_out = [key for key in source if key not in _READ]
    common = _object(source.get("options"), "options")
    left_out += _not_followed(common, "options")
    cues = []
    for number, item in enumerate(listed(source, "segments"), 1):
        cue, own = _segment(item, speeches)
        left_out += _not_followed(own, "optionsOverride")
        choice = _object({**common, **own}.get(_SPEAKER), _SPEAKER)
        cue["face"] = _face(choice)
        left_out += [f"{_SPEAKER}.{key}" for key in choice if key not in _SPEAKER_READ]
        if not _shows_the_start(choice, cue["start"], fps):
            left_out.append(f"frame_number of segment {number} (the face is looked for where it starts)")
        cues.append(cue)
    sheet = CueSheet(cues=tuple(cues))
    told = ", ".join(str(key)[:80] for key in dict.fromkeys(left_out))
    return sheet.warned(f"Not followed of sync.so's request: {told[:1000]}.") if told else sheet


def _segment(item: Any, speeches: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return the fields of a cue but its face, and the segment's own options."""
    try:
        start, end, audio = item["startTime"], item["endTime"], item["audioInput"]
        name = str(audio["refId"])
        first, last = audio.get("startTime", 0.0), audio.get("endTime")
        if last is not None:
            end = min(end, start + last - first)
        own = _object(item.get("optionsOverride"), "optionsOverride")
    except (TypeError, KeyError, AttributeError) as error:
        raise CueError("A segment lacks startTime, endTime or audioInput with refId.", FORMS) from error
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
    return {"start": start, "end": end, "speech": speech, "offset": first}, own


def _not_followed(options: Mapping[str, Any], where: str) -> list[str]:
    """Return the names of options that are not followed; CueError where one must not be missed."""
    mode = options.get("sync_mode", _LENGTHS[0])
    if mode not in _LENGTHS:
        raise CueError(
            f"{where}.sync_mode={str(mode)[:20]} cannot be followed: with segments the result is as long as "
            "the video.",
            f"Give {' or '.join(_LENGTHS)}, or dub without segments: --on-length-mismatch.",
        )
    occluded = options.get("occlusion_detection_enabled", True)  # the tier lipwarp always looks
    known = {"sync_mode", _SPEAKER, *(["occlusion_detection_enabled"] if occluded else [])}
    return [f"{where}.{key}" for key in options if key not in known]


def _face(choice: Mapping[str, Any]) -> str:
    """Return whose face is meant, as a cue says it."""
    if choice.get("bounding_boxes_url"):
        raise CueError("bounding_boxes_url is not fetched.", "Put the boxes into bounding_boxes.")
    try:
        if choice.get("coordinates"):
            x, y = (float(value) for value in choice["coordinates"])
            return f"{x},{y}"
        boxes = [box for box in choice.get("bounding_boxes") or [] if box]
        if boxes:
            left, top, right, bottom = (float(value) for value in boxes[0])
            return f"{(left + right) / 2},{(top + bottom) / 2}"
    except (TypeError, ValueError) as error:
        raise CueError(
            f"{_SPEAKER} cannot be read.", "Give coordinates as [x, y], boxes as [x1, y1, x2, y2]."
        ) from error
    return "speaking" if choice.get("auto_detect") else "largest"


def _shows_the_start(choice: Mapping[str, Any], start: Any, fps: Fraction) -> bool:
    """Return whether the frame in which the pixel names a face is the one where the segment starts."""
    frame = choice.get("frame_number")
    if frame is None or not choice.get("coordinates"):
        return True
    return isinstance(frame, int) and isinstance(start, int | float) and abs(frame - start * fps) < 1.5


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise CueError(f"{name} is not an object.", FORMS)
    return value
