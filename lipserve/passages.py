"""Stretches of a clip's time of which something is to be told: merged, and put into words."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field


def clock(seconds: float) -> str:
    """Return a time as people say it, to the second: 0:12, 1:02:03."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def between(begin: float, end: float) -> str:
    """Return a stretch of time in words: "0:03 to 0:07"; "at 0:03" where it is shorter than a second."""
    return f"at {clock(begin)}" if clock(begin) == clock(end) else f"{clock(begin)} to {clock(end)}"


Kind = Literal["no_face", "covered", "somebody_else"]
_WORDS: dict[Kind, str] = {
    "no_face": "no face",
    "covered": "the mouth is covered",
    "somebody_else": "another person is seen where the dubbed one was, and is left as they are",
}
_LEAST = 0.2  # seconds: what is shorter is not told ...
_JOINED = 0.5  # ... and two passages with less between them are one
_MOST = 1000  # passages that are kept, the longest ...
_TOLD = 20  # ... and that are told


class Passage(BaseModel):
    """A stretch of the result in which a mouth was left as it was, and why; seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    what: Kind
    begin: float = Field(ge=0, le=1e7)
    end: float = Field(ge=0, le=1e7)

    def __str__(self) -> str:
        return f"{between(self.begin, self.end)}: {_WORDS[self.what]}"


def passages(what: Kind, flags: NDArray[np.bool_], first: int, fps: Fraction) -> list[Passage]:
    """Return the passages of the frames [F] that are flagged; the first is frame `first` of the clip."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]))) + first
    times = [round(float(edge / fps), 3) for edge in edges.tolist()]
    pairs = zip(times[::2], times[1::2], strict=True)
    return merged([Passage(what=what, begin=begin, end=end) for begin, end in pairs])


def merged(found: Sequence[Passage]) -> list[Passage]:
    """Return passages in order of time, neighbours of one kind joined, those that are too short left out."""
    out: list[Passage] = []
    for kind in _WORDS:
        own: list[Passage] = []
        for passage in sorted((p for p in found if p.what == kind), key=lambda p: p.begin):
            if own and passage.begin - own[-1].end < _JOINED:
                end = max(own[-1].end, passage.end)
                own[-1] = own[-1].model_copy(update={"end": end})
            else:
                own.append(passage)
        out += own
    return sorted(_longest([p for p in out if p.end - p.begin >= _LEAST], _MOST), key=lambda p: p.begin)


def told(found: Sequence[Passage]) -> list[str]:
    """Return the warnings that passages make: the longest ones, in order of time."""
    shown = sorted(_longest(found, _TOLD), key=lambda p: p.begin)
    more = len(found) - len(shown)
    return [*map(str, shown), *([f"{more} more passages, all shorter, are in the report"] if more else [])]


def _longest(found: Sequence[Passage], count: int) -> list[Passage]:
    return sorted(found, key=lambda p: p.begin - p.end)[:count]
