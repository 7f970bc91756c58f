"""The plan of a clip: which cues are active in which frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, pairwise

from lipserve.cues.cue import Cue, CueSheet, Stretch
from lipserve.errors import CueError
from lipserve.segments import Span


@dataclass(frozen=True)
class Part:
    """A stretch of output frames in which the same cues are active; none: it stays untouched.

    Attributes:
        cues: their places in the sheet.
    """

    span: Span
    cues: tuple[int, ...]


def plan(sheet: CueSheet, frames: int, fps: Fraction) -> list[Part]:
    """Return the parts of a clip, in order, without gaps.

    Args:
        frames: output frames of the clip.

    Raises:
        CueError: a cue that ends before it starts, lies outside the clip, or drives a face that another one
            drives at the same time.
    """
    spans = [_span(cue, f"Cue {number}", frames, fps) for number, cue in enumerate(sheet.cues, 1)]
    holes = [_span(hole, f"Bypass {number}", frames, fps) for number, hole in enumerate(sheet.bypass, 1)]
    _check_faces(sheet.cues, spans)
    edges = sorted({0, frames, *(edge for span in (*spans, *holes) for edge in (span.first, span.stop))})
    parts: list[Part] = []
    for first, stop in pairwise(edges):
        hidden = any(hole.first <= first < hole.stop for hole in holes)
        active = tuple(i for i, span in enumerate(spans) if span.first <= first < span.stop and not hidden)
        if parts and parts[-1].cues == active:
            parts[-1] = Part(Span(parts[-1].span.first, stop - parts[-1].span.first), active)
        else:
            parts.append(Part(Span(first, stop - first), active))
    return parts


def fades(parts: Sequence[Part], cues: Sequence[Cue], cue: int) -> list[tuple[bool, bool]]:
    """Return, for each part of a cue, whether its mouth gives way to the source's own before and after it.

    Where another cue drives the same face next, it does not.
    """
    found = []
    for at, part in enumerate(parts):
        if cue in part.cues:
            before = parts[at - 1].cues if at else None
            after = parts[at + 1].cues if at + 1 < len(parts) else None
            found.append(tuple(_alone(cues, cue, others) for others in (before, after)))
    return [(before, after) for before, after in found]


def _alone(cues: Sequence[Cue], cue: int, others: tuple[int, ...] | None) -> bool:
    return others is not None and all(cues[other].face != cues[cue].face for other in others)


def _span(item: Cue | Stretch, name: str, frames: int, fps: Fraction) -> Span:
    start, end = item.start, item.end
    length = float(frames / fps)
    end = length if end is None else end
    if end <= start:
        raise CueError(f"{name} ends at {end:g} s and starts at {start:g} s.", "Give an end after the start.")
    first, stop = round(start * fps), round(end * fps)
    if first >= frames or stop > frames + 1:
        raise CueError(
            f"{name} lasts from {start:g} to {end:g} s; the result ends at {length:g} s.",
            "Give times within the result, in seconds from its first frame.",
        )
    stop = min(stop, frames)
    if first >= stop:
        raise CueError(f"{name} is shorter than one frame.", f"One frame lasts {float(1 / fps):.3f} s.")
    return Span(first, stop - first)


def _check_faces(cues: Sequence[Cue], spans: Sequence[Span]) -> None:
    for (i, one), (k, other) in combinations(enumerate(spans), 2):
        apart = one.stop <= other.first or other.stop <= one.first
        faces = {cues[i].face.replace(" ", ""), cues[k].face.replace(" ", "")}
        if not apart and (len(faces) == 1 or "all" in faces):
            raise CueError(
                f"Cues {i + 1} and {k + 1} drive the same face ({cues[k].face}) at the same time.",
                "Let one end before the other starts, or name another face.",
            )
