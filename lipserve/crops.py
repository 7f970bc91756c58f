"""Cut the tracked faces out of the pictures, a few frames behind the tracker.

A crop depends on the frames around it (smoothing, bridged gaps), so a picture waits until `LEAD` more have
been tracked, and is let go then: memory holds that many pictures, however long the request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve import faces
from lipserve.align import Transforms
from lipserve.contracts import MESH_POINTS
from lipserve.files.picture import Picture, VideoInfo
from lipserve.geometry import Geometry
from lipserve.segments import LEAD, Span
from lipserve.tracking import Track, Tracker


@dataclass
class Strip:
    """One face's crops over the source frames.

    Attributes:
        images: [F, S, S, 3]. transforms: [F, 2, 3]. meshes: [F, 468, 3], square pixels. present: [F].
    """

    images: list[NDArray[np.uint8]] = field(default_factory=list)
    transforms: list[NDArray[np.float32]] = field(default_factory=list)
    meshes: list[NDArray[np.float32]] = field(default_factory=list)
    present: list[bool] = field(default_factory=list)


class Cropper:
    """Follows the faces through pictures that arrive in order, and keeps a crop of each face in each.

    Attributes:
        covered: bool [F], output frames in which something lies before a mouth that would be driven, known
            after `rows`; a tier that does not look sees none.
        somebody_else: bool [F], the same for frames that show another person where a prepared one was.
    """

    def __init__(self, tracker: Tracker, info: VideoInfo, geometry: Geometry, first: int) -> None:
        self._tracker = tracker
        self._info = info
        self._geometry = geometry
        self._first = first
        self._waiting: list[Picture] = []
        self._arrived = 0
        self._done = 0
        self._strips: list[Strip] = []
        self.covered: NDArray[np.bool_] = np.zeros(0, bool)
        self.somebody_else: NDArray[np.bool_] = np.zeros(0, bool)

    def add(self, pictures: list[Picture]) -> None:
        self._tracker.add(pictures, self._first + self._arrived)
        self._waiting += pictures
        self._arrived += len(pictures)
        self._cut(self._arrived - LEAD)

    def rows(self, shown: NDArray[np.int64], span: Span) -> dict[str, NDArray[Any]]:
        """Return FACES, TRANSFORMS, WEIGHTS, FRAMES, TRACKS and MESHES, a row for each output frame and face.

        Args:
            shown: int64 [F], the picture (0 is the first added) that each output frame of `span` shows.
        """
        self._cut(self._arrived)
        self.covered, self.somebody_else = np.zeros(len(shown), bool), np.zeros(len(shown), bool)
        out: dict[str, list[NDArray[Any]]] = {name: [] for name in _no_rows(0)}
        for track, strip in enumerate(self._strips):
            weights = faces.fade(self.driven(track, strip))
            used = np.flatnonzero(weights[shown] > 0)
            out["FACES"].append(np.stack(strip.images)[shown[used]])
            out["TRANSFORMS"].append(np.stack(strip.transforms)[shown[used]])
            out["WEIGHTS"].append(weights[shown[used]])
            out["FRAMES"].append((span.first + used).astype(np.int32))
            out["TRACKS"].append(self.owners(track, strip)[shown[used]])
            out["MESHES"].append(np.stack(strip.meshes)[shown[used]])
        if not self._strips:
            return _no_rows(self._geometry.size)
        order = np.argsort(np.concatenate(out["FRAMES"]), kind="stable")
        return {name: np.concatenate(parts)[order] for name, parts in out.items()}

    def driven(self, track: int, strip: Strip) -> NDArray[np.bool_]:
        """Return in which of the source frames so far a face is to be driven [F]: where there is one."""
        return np.array(strip.present)

    def owners(self, track: int, strip: Strip) -> NDArray[np.int32]:
        """Return whose face a track shows in each of the source frames so far [F]: its own."""
        return np.full(len(strip.present), track, np.int32)

    def _cut(self, stop: int) -> None:
        """Cut the crops of the pictures before `stop`."""
        count = stop - self._done
        if count <= 0:
            return
        window = slice(max(0, self._done - LEAD), self._arrived)
        skip = self._done - window.start
        for number, track in enumerate(self._tracker.tracks):
            if number == len(self._strips):
                self._strips.append(self._late_strip())
            strip = self._strips[number]
            meshes, transforms, present = _trajectory(
                track, self._tracker.cuts, window, self._info, self._geometry
            )
            for picture, mesh, transform, here in zip(
                self._waiting[:count], meshes[skip:], transforms[skip:], present[skip:], strict=False
            ):
                strip.meshes.append(mesh[:MESH_POINTS].astype(np.float32))
                strip.images.append(self._geometry.crop(picture, transform) if here else self._blank())
                strip.transforms.append(transform)
                strip.present.append(bool(here))
        del self._waiting[:count]
        self._done = stop

    def _late_strip(self) -> Strip:
        """Return the strip of a face that first showed up after some frames had been cut."""
        empty, mesh = np.zeros((2, 3), np.float32), np.zeros((MESH_POINTS, 3), np.float32)
        count = self._done
        return Strip([self._blank()] * count, [empty] * count, [mesh] * count, [False] * count)

    def _blank(self) -> NDArray[np.uint8]:
        return np.zeros((self._geometry.size, self._geometry.size, 3), np.uint8)


def _trajectory(
    track: Track, cuts: list[bool], window: slice, info: VideoInfo, geometry: Geometry
) -> tuple[NDArray[np.float64], Transforms, NDArray[np.bool_]]:
    """Return the points [F, P, 3] of a stretch of a track, gaps bridged, the smoothed transforms
    [F, 2, 3], and where there is a face [F]."""
    landmarks = np.array(track.landmarks[window])
    scenes = np.array(cuts[window])
    present = faces.bridge(landmarks, np.array(track.found[window]), scenes)
    breaks = scenes | (present != np.roll(present, 1))
    runs = np.cumsum(breaks)
    transforms = np.zeros((len(present), 2, 3), np.float32)
    if present.any():
        transforms[present] = geometry.transforms(
            landmarks[present], runs[present], info.pixel_aspect, (info.width, info.height)
        )
    return landmarks, transforms, present


def _no_rows(size: int) -> dict[str, NDArray[Any]]:
    return {
        "FACES": np.zeros((0, size, size, 3), np.uint8),
        "TRANSFORMS": np.zeros((0, 2, 3), np.float32),
        "WEIGHTS": np.zeros(0, np.float32),
        "FRAMES": np.zeros(0, np.int32),
        "TRACKS": np.zeros(0, np.int32),
        "MESHES": np.zeros((0, MESH_POINTS, 3), np.float32),
    }
