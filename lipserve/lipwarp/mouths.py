"""Tracking of the prepared people, their mouth crops, and the mouths that are covered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve import faces
from lipserve.crops import Cropper, Strip
from lipserve.files.picture import VideoInfo
from lipserve.leaves import Leaves
from lipserve.lipwarp import cover
from lipserve.lipwarp.cover import Shown
from lipserve.lipwarp.geometry import Mouth, to_crop
from lipserve.lipwarp.points import MOVED
from lipserve.lipwarp.shapes import frontal, shapes, shipped_basis
from lipserve.lipwarp.source import Person, Source
from lipserve.lipwarp.whose import NOBODY, told_apart
from lipserve.looks import tint
from lipserve.segments import Span
from lipserve.tracking import Track, Tracker

_NEAR = 0.75  # of a face's side: a face that is seen farther from where a person was is somebody else's
_BRIEF = 2  # frames: something that covers a mouth stays longer
_APART = 4  # frames: and does not come and go faster


class PreparedTracker(Tracker):
    """Follows the people of a SOURCE and nobody else: track i is person i.

    Args:
        first: source frame of the first picture.
    """

    def __init__(self, leaves: Leaves, info: VideoInfo, source: Source, first: int) -> None:
        super().__init__(leaves, info.fps, info.pixel_aspect, "all", None)
        self._people = source.people
        self._first_frame = first
        self.tracks = [Track(None) for _ in source.people]

    def _start(self, seen: list[faces.Detection], at: int) -> None:
        for track, person in zip(self.tracks, self._people, strict=True):
            if track.roi is None and seen:
                x, y, side = person.near(self._first_frame + at)
                face = min(seen, key=lambda face: _distance(face, x, y))
                if _distance(face, x, y) < _NEAR * side:
                    track.roi = faces.roi_of_detection(face)
                    seen = [other for other in seen if other is not face]


class MouthCropper(Cropper):
    """Cuts the mouths of a SOURCE's people, and leaves covered ones alone, and those of other people."""

    def __init__(self, tracker: PreparedTracker, info: VideoInfo, source: Source, first: int) -> None:
        super().__init__(tracker, info, Mouth(), first)
        self._source, self._aspect = source, info.pixel_aspect
        self._remembered = [
            [Shown(memory.crop(source.colour), memory.points) for memory in person.memories]
            for person in source.people
        ]
        self._tints = [[tint(mouth.crop) for mouth in mouths] for mouths in self._remembered]
        self._covered: dict[int, NDArray[np.bool_]] = {}
        self._owners: list[NDArray[np.int32]] = []  # of each track and frame; NOBODY: of nobody prepared

    def rows(self, shown: NDArray[np.int64], span: Span) -> dict[str, NDArray[Any]]:
        """Return, besides what every tier's rows have, POINTS, SHAPES and POSES, as the contract says."""
        self._cut(self._arrived)
        shots = np.cumsum(self._tracker.cuts[: self._arrived])
        self._owners = told_apart(self._strips, shots, self._tints)
        rows = super().rows(shown, span)
        for covered in self._covered.values():
            self.covered |= covered[shown]
        for strip, owners in zip(self._strips, self._owners, strict=True):
            self.somebody_else |= ((owners == NOBODY) & np.array(strip.present))[shown]
        count = len(rows["FRAMES"])
        lips = {
            "POINTS": np.zeros((count, len(MOVED), 2), np.float32),
            "SHAPES": np.zeros((count, shipped_basis().count), np.float32),
            "POSES": np.zeros((count, 2, 3), np.float32),
        }
        for track, person in enumerate(self._source.people):
            own = rows["TRACKS"] == track
            described = self._described(rows["MESHES"][own], rows["TRANSFORMS"][own], person)
            for values, part in zip(lips.values(), described, strict=True):
                values[own] = part
        return rows | lips

    def owners(self, track: int, strip: Strip) -> NDArray[np.int32]:
        return self._owners[track]

    def driven(self, track: int, strip: Strip) -> NDArray[np.bool_]:
        owners, covered = self._owners[track], np.zeros(len(strip.present), bool)
        known = np.array(strip.present) & (owners != NOBODY)
        for person in np.unique(owners[known]).tolist():
            seen = np.flatnonzero(known & (owners == person))
            covered[seen] = self._covered_mouths(person, strip, seen)
        self._covered[track] = _steady(covered) & known
        return np.asarray(known & ~self._covered[track])

    def _covered_mouths(self, number: int, strip: Strip, seen: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return in which of the frames [S] in which a person is seen something is before the mouth."""
        person, remembered = self._source.people[number], self._remembered[number]
        points, shapes, _ = self._described(
            np.stack(strip.meshes)[seen], np.stack(strip.transforms)[seen], person
        )

        def look(place: int) -> bool:
            nearest = np.argsort(np.linalg.norm(person.shapes - shapes[place], axis=1))
            others = (remembered[index] for index in nearest)
            return cover.covered(Shown(strip.images[seen[place]], points[place]), others)

        return _looked_at(look, len(seen))

    def _described(
        self, meshes: NDArray[np.float32], transforms: NDArray[np.float32], person: Person
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
        """Return POINTS [F, 133, 2], SHAPES [F, K] and POSES [F, 2, 3] of a person's meshes."""
        basis = shipped_basis()
        turned, poses = frontal(meshes.astype(np.float64), basis)
        linear = transforms[:, :, :2].astype(np.float64)
        linear[:, :, 0] /= float(self._aspect)
        return (
            to_crop(meshes[:, MOVED].astype(np.float64), transforms, self._aspect),
            shapes(turned, person.closed, basis),
            poses.onto(linear),
        )


def _distance(face: faces.Detection, x: float, y: float) -> float:
    middle = (face.box[:2] + face.box[2:]) / 2
    return float(np.hypot(middle[0] - x, middle[1] - y))


def _looked_at(look: Callable[[int], bool], count: int) -> NDArray[np.bool_]:
    """Return what is seen in each of so many pictures [F], where it lasts for longer than one.

    Every second one is looked at, and those between two that differ.
    """
    out = np.array([look(number) if number % 2 == 0 else False for number in range(count)], bool)
    for number in range(1, count, 2):
        sure = number + 1 < count and out[number - 1] == out[number + 1]
        out[number] = out[number - 1] if sure else look(number)
    return out


def _steady(covered: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return covered frames [F] without those that are too brief, and without brief gaps between others."""
    filled = ~_longer(~covered, _APART)
    return _longer(filled, _BRIEF)


def _longer(marked: NDArray[np.bool_], brief: int) -> NDArray[np.bool_]:
    """Return the marked frames [F] of runs longer than `brief`; one that begins or ends the series counts."""
    out = marked.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(int)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if end - begin <= brief and begin > 0 and end < len(marked):
            out[begin:end] = False
    return out
