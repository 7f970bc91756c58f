"""A cue, and the sheet of all cues of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError

from lipserve.errors import CueError
from lipserve.options.fields import Face, Strict

MAX_CUES = 1000
FORMS = "docs/cues.md shows the forms."
Seconds = Annotated[float, Field(ge=0, le=10**7)]


class Cue(Strict):
    """A stretch of the video in which a face speaks.

    Attributes:
        start, end: seconds from the video's first frame; no `end`: up to the video's end.
        face: whose: largest, all, or the pixel x,y that it covers where the cue starts.
        speech: file of what is said, or its bytes; None: the speech of the call.
        offset: seconds of the speech that have gone by where the cue starts. None: of a file of its own
            none; the speech of the call is heard in its own place.
    """

    start: Seconds = 0.0
    end: Seconds | None = None
    face: Face = "largest"
    speech: bytes | str | PathLike[str] | None = None
    offset: Seconds | None = None

    def __init__(self, **fields: Any) -> None:
        """Hold the fields to their ranges; CueError names the first that is wrong."""
        _checked(super().__init__, "A cue", fields)

    @property
    def begin(self) -> float:
        """Where the speech begins, seconds from the video's first frame; below 0 where some has gone by."""
        in_place = self.start if self.speech is None else 0.0
        return self.start - (in_place if self.offset is None else self.offset)


class Stretch(Strict):
    """A stretch of the video, seconds from its first frame."""

    start: Seconds
    end: Seconds

    def __init__(self, **fields: Any) -> None:
        """Hold the fields to their ranges; CueError names the first that is wrong."""
        _checked(super().__init__, "A bypass", fields)


def _pair(value: Any) -> Any:
    """Return a pair of times as a stretch."""
    if isinstance(value, list | tuple) and len(value) == 2:
        return {"start": value[0], "end": value[1]}
    return value


class CueSheet(Strict):
    """All cues of a call, and the stretches that stay untouched whatever the cues say."""

    cues: Annotated[tuple[Cue, ...], Field(max_length=MAX_CUES)] = ()
    bypass: Annotated[tuple[Annotated[Stretch, BeforeValidator(_pair)], ...], Field(max_length=MAX_CUES)] = ()

    _warnings: tuple[str, ...] = PrivateAttr(())

    def __init__(self, **fields: Any) -> None:
        """Hold the fields to their ranges; CueError names the first that is wrong."""
        _checked(super().__init__, "The cues", fields)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the form that they were read from is not followed."""
        return self._warnings

    def warned(self, *texts: str) -> CueSheet:
        """Return the same sheet with more warnings."""
        sheet = CueSheet(cues=self.cues, bypass=self.bypass)
        sheet._warnings = (*self._warnings, *texts)
        return sheet


def _checked(init: Any, what: str, fields: dict[str, Any]) -> None:
    try:
        init(**fields)
    except ValidationError as error:
        raise refusal(what, error) from error


def refusal(what: str, error: ValidationError) -> CueError:
    """Return the error of the first invalid field."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"])[:80]
    return CueError(
        f"{what} cannot be read: {f'{name}: ' if name else ''}{first['msg']}.",
        "A cue has start, end, face, speech and offset; docs/cues.md shows the forms.",
    )


def listed(source: Mapping[str, Any], key: str) -> list[Any]:
    """Return the list that an object has under a key, or raise CueError."""
    found = source.get(key) or []
    if isinstance(found, str | bytes) or not isinstance(found, Sequence):
        raise CueError(f"{key} is not a list.", FORMS)
    return list(found)
