"""Who is who across the shots of one film, by their looks (`lipserve.looks`).

Two faces that are seen at the same time are never one person.
"""

from __future__ import annotations

from collections.abc import Sequence

from lipserve.looks import ALIKE, Look, apart
from lipserve.quality.results import CheckedFace


def together(faces: Sequence[CheckedFace], looks: Sequence[Look]) -> list[list[int]]:
    """Return the faces of each person, as places in `faces`, in the order of appearance."""
    people: list[list[int]] = []
    for place, face in enumerate(faces):
        near = [
            (min(apart(looks[place], looks[other]) for other in known), known)
            for known in people
            if not any(_at_once(face, faces[other]) for other in known)
        ]
        best = min(near, key=lambda pair: pair[0], default=None)
        if best is not None and best[0] < ALIKE:
            best[1].append(place)
        else:
            people.append([place])
    return people


def _at_once(one: CheckedFace, other: CheckedFace) -> bool:
    return one.shot == other.shot and one.begin < other.end and other.begin < one.end
