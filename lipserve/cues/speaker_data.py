"""Cues from the speaker data of NVIDIA's LipSync NIM: who is seen and who speaks, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import groupby
from typing import Any

from lipserve.cues.cue import FORMS, MAX_CUES, CueSheet, listed
from lipserve.errors import CueError
from lipserve.passages import between

_TOLD = 0.2  # seconds of the video without speaker data


def read(source: Mapping[str, Any], fps: Fraction, video_frames: int | None) -> CueSheet:
    """Return a cue for every stretch in which a speaker speaks: a face is followed from its first box.

    Args:
        video_frames: frames of the video; None: not known.

    Raises:
        CueError: it cannot be read, or has too many stretches.
    """
    speaking: dict[int, list[tuple[int, str]]] = {}
    entries = listed(source, "frames")
    for number, frame in enumerate(entries):
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
    sheet = CueSheet(cues=tuple(sorted(cues, key=lambda cue: cue["start"])))
    missing = 0 if video_frames is None else video_frames - len(entries)
    if missing < _TOLD * fps:
        return sheet
    rest = between(float(len(entries) / fps), float((video_frames or 0) / fps))
    return sheet.warned(
        f"{rest}: nobody is driven, because the speaker data has {len(entries)} frames and the video "
        f"{video_frames}."
    )


def _speakers(frame: Any, number: int) -> Iterator[tuple[int, str]]:
    """Yield the number of each speaker of a frame who is to be driven, and the middle of the face."""
    if not isinstance(frame, Mapping):
        raise CueError(f"Frame {number} of the speaker data is not an object.", FORMS)
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
                f"A speaker of frame {number} of the speaker data cannot be read.", FORMS
            ) from error
        if talks and width > 0 and height > 0:
            yield who, f"{max(0.0, x + width / 2):.1f},{max(0.0, y + height / 2):.1f}"
