"""Tracking of faces through a clip, with as few calls of the two face models as possible.

The mesh runs on blocks of frames at once, all of them looked at where the face was last; a frame whose face
has moved too far within its block is looked at again. The detector runs on the first frame, about once a
second, where the picture changes, and where a face was lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lipserve import faces
from lipserve.align import crop
from lipserve.contracts import MESH_POINTS, MESH_SIZE
from lipserve.files.picture import Picture
from lipserve.leaves import Leaves

BLOCK = 8  # frames in one call of the mesh
RETRY_FRAMES = (3, 12)  # between two searches for a lost face: at first, and once it stays away
CUT_DIFFERENCE = 20.0  # mean absolute difference of two thumbnails, of 255
MAX_FACES = 8
MAX_LOOKS = 4  # at one frame
_CERTAIN = 0.9  # a mesh this sure outweighs a detector that sees nothing

Landmarks = NDArray[np.float64]


def blocks(pictures: Iterator[Picture], first: int) -> Iterator[list[Picture]]:
    """Give the pictures in blocks that begin on the same source frames however a clip is cut.

    Args:
        first: source frame of the first picture.
    """
    count = BLOCK - first % BLOCK
    while block := list(islice(pictures, count)):
        yield block
        count = BLOCK


@dataclass
class Track:
    """One person's face: its points [F, P, 3] and where they were found [F], grown frame by frame.

    The first 468 points are the mesh; what is beside it a tracker of the tier adds.
    """

    roi: faces.Roi | None
    points: int = MESH_POINTS
    landmarks: list[Landmarks] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    score: float = 1.0
    reach: int = BLOCK  # frames that one look may cover: few while the face moves fast
    looks: int = 0  # at the next frame, each through the square that the look before asked for

    def add(self, mesh: Landmarks | None) -> None:
        self.found.append(mesh is not None)
        self.landmarks.append(np.zeros((self.points, 3)))
        if mesh is not None:
            self.landmarks[-1][:MESH_POINTS] = mesh

    def last_box(self) -> NDArray[np.float64] | None:
        """Return the box of the last mesh that was found."""
        for points, found in zip(reversed(self.landmarks), reversed(self.found), strict=True):
            if found:
                return faces.box_of(points[:MESH_POINTS])
        return None


class Tracker:
    """Tracks the faces that `wanted` names through pictures that arrive in order."""

    points = MESH_POINTS
    """Of each face."""

    def __init__(
        self, leaves: Leaves, fps: Fraction, aspect: Fraction, wanted: str, point: tuple[float, float] | None
    ) -> None:
        self._leaves = leaves
        self._period = max(1, round(fps))
        self._aspect = aspect
        self._wanted = wanted
        self._point = (point[0] * float(aspect), point[1]) if point else None
        self._thumbnail: NDArray[np.float32] | None = None
        self._next_search = 0
        self._failures = 0
        self._turns = 0  # quarter turns to the left that make the faces upright
        self._length = 0
        self.tracks: list[Track] = []
        self.cuts: list[bool] = []
        self.detector_calls = 0

    @property
    def follows_one(self) -> bool:
        """Whether there is at most one track."""
        return self._wanted != "all"

    def add(self, block: list[Picture], first: int) -> None:
        """Follow the faces through the next block of pictures, one of `blocks`.

        Args:
            first: source frame of the first picture.
        """
        begin = 0
        for index, picture in enumerate(block):
            cut = self._is_cut(picture)
            self.cuts.append(cut)
            if self._length == 0 or cut or (first + index) % self._period == 0:
                self._follow(block[begin:index])
                begin = index
                self._search(picture)
        self._follow(block[begin:])

    def _follow(self, pictures: list[Picture]) -> None:
        if pictures and not any(track.roi for track in self.tracks) and self._length >= self._next_search:
            self._search(pictures[0])
        for track in self.tracks:
            self._follow_one(track, pictures)
        self._length += len(pictures)

    def _follow_one(self, track: Track, pictures: list[Picture]) -> None:
        done, track.reach = 0, BLOCK
        while done < len(pictures):
            if track.roi is None and self._length + done >= self._next_search:
                self._search(pictures[done], done)
            if track.roi is None:
                track.add(None)
                done += 1
            else:
                done += self._advance(track, pictures[done : done + track.reach], track.roi)

    def _advance(self, track: Track, pictures: list[Picture], roi: faces.Roi) -> int:
        """Add the frames that one call of the mesh settles and return how many: none where the face is lost.

        A call ends before a frame whose face lies off the square. The mesh leans towards the middle of its
        square, so such a frame is looked at again until the square stays where it is.
        """
        settled = 0
        points, scores = self._mesh(pictures, roi)
        for mesh, score in zip(points, scores, strict=True):
            track.score = float(score)
            if score < faces.MESH_SCORE:
                track.roi = None
                break
            wanted = faces.roi_of_landmarks(mesh)
            track.roi = wanted
            if wanted.far_from(roi) and track.looks < MAX_LOOKS:
                track.looks += 1
                break
            track.looks = 0
            track.add(mesh if faces.is_frontal(mesh) else None)  # a profile is followed, not driven
            self._failures = 0
            settled += 1
        track.reach = min(BLOCK, 2 * track.reach) if settled == len(pictures) else max(1, settled)
        return settled

    def _mesh(self, pictures: list[Picture], roi: faces.Roi) -> tuple[Landmarks, NDArray[np.float32]]:
        matrix = roi.to_input()
        matrix[:, 0] *= float(self._aspect)
        images = np.stack([crop(picture, matrix.astype(np.float32), MESH_SIZE) for picture in pictures])
        out = self._leaves("face_landmarks", {"IMAGES": images})
        return faces.from_input(out["LANDMARKS"], roi), out["SCORES"][:, 0]

    def _search(self, picture: Picture, ahead: int = 0) -> None:
        """Look for faces: confirm the tracks, drop those that slid off, start those that are missing."""
        seen = self._detect(picture)
        wait = min(RETRY_FRAMES[0] << min(self._failures, 8), RETRY_FRAMES[1])
        self._failures += 1  # until a mesh agrees
        self._next_search = self._length + ahead + wait
        for track in self.tracks:
            box = track.last_box()
            match = closest(seen, box)
            if match is not None:
                track.roi = track.roi or faces.roi_of_detection(match)
                seen = [face for face in seen if face is not match] if self._wanted == "all" else seen
            elif track.roi and (seen or track.score < _CERTAIN):
                track.roi = None
        self._start(seen, self._length + ahead)

    def _start(self, seen: list[faces.Detection], at: int) -> None:
        """Begin to follow faces that nobody follows, seen `at` frames after the first."""
        if self._wanted == "all":
            for face in seen:
                self._open(face)
        elif not any(track.roi for track in self.tracks) and seen:
            face = faces.choose(seen, self._wanted, self._point)[0]
            if self.tracks:
                self.tracks[0].roi = faces.roi_of_detection(face)
            else:
                self._open(face)

    def _open(self, face: faces.Detection) -> None:
        """Follow one more face: in the place of one that is lost for good, or in a new one."""
        roi = faces.roi_of_detection(face)
        for track in self.tracks:
            if track.roi is None and not any(track.found[-faces.BRIDGED_FRAMES - 1 :]):
                track.roi = roi
                return
        if len(self.tracks) < MAX_FACES:
            self.tracks.append(Track(roi, self.points))
            for _ in range(self._length):
                self.tracks[-1].add(None)

    def _detect(self, picture: Picture) -> list[faces.Detection]:
        """Return the faces of a picture. Where a search is the first, one that fails is made harder.

        A face that fills the picture is found in a smaller one, with a border; a person who was filmed
        sideways is found in a turned one. Faces upside down are seen too, less surely: the best turn wins.
        """
        seen = self._look(picture, 1.0, self._turns)
        if seen or self._failures:
            return seen
        seen = self._look(picture, 0.5, self._turns)
        if seen:
            return seen
        turned = {turns: self._look(picture, 1.0, turns) for turns in (1, 2, 3)}
        best = max(turned, key=lambda turns: max((face.score for face in turned[turns]), default=0.0))
        self._turns = best if turned[best] else 0
        return turned[best]

    def _look(self, picture: Picture, shrink: float, turns: int) -> list[faces.Detection]:
        image, gain = faces.letterbox(picture, self._aspect, shrink)
        self.detector_calls += 1
        turned = np.ascontiguousarray(np.rot90(image, turns))
        out = self._leaves("face_detector", {"IMAGES": turned[None]})
        return faces.detections(out["BOXES"][0], out["SCORES"][0], out["EYES"][0], gain, turns)

    def _is_cut(self, picture: Picture) -> bool:
        step = max(1, min(picture.y.shape) // 32)
        thumbnail = picture.y[step // 2 :: step, step // 2 :: step].astype(np.float32)
        before, self._thumbnail = self._thumbnail, thumbnail
        return before is not None and float(np.abs(thumbnail - before).mean()) > CUT_DIFFERENCE


def closest(seen: list[faces.Detection], box: NDArray[np.float64] | None) -> faces.Detection | None:
    """Return the detection that is the face in `box`; None where there is none."""
    if box is None or not seen:
        return None
    best = max(seen, key=lambda face: faces.iou(face.box, box))
    return best if faces.iou(best.box, box) > faces.SAME_FACE_IOU else None
