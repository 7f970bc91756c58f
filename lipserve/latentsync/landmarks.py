"""The 106 landmarks that LatentSync aligns faces by, where a user supplied the network that finds them.

The network is InsightFace's 2d106det. Its weights are for non-commercial use: they are never shipped and
never fetched. Where they are not there, the mesh stands in (`lipserve.latentsync.geometry`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipserve import faces as f
from lipserve.align import crop
from lipserve.contracts import FACE_LANDMARKS_106, MESH_POINTS, MESH_SIZE, REFERENCE_POINTS
from lipserve.files.picture import Picture
from lipserve.tracking import Track, Tracker, closest

_MARGIN = 1.5  # side of what the network sees over the longer side of the face's box


class ReferenceTracker(Tracker):
    """Follows faces by their mesh, as every tier does, and adds to each mesh the 106 points of the network.

    The detector is asked in every frame that shows a face, because the network looks at a square around the
    detector's box, as in the reference. Where the detector misses a face that the mesh follows, the square is
    around the mesh. A point's third coordinate is 0.

    This differs from the reference: who is driven is chosen and followed (the reference takes the largest
    face of each frame); the detector sees 640 pixels (512); the points keep their fractions (whole pixels);
    what lies outside the picture repeats its border (black).
    """

    points = MESH_POINTS + REFERENCE_POINTS

    def _follow(self, pictures: list[Picture]) -> None:
        super()._follow(pictures)
        first = self._length - len(pictures)
        seen: dict[int, list[f.Detection]] = {}
        for track in self.tracks:
            found = [frame for frame in range(len(pictures)) if track.found[first + frame]]
            for frame in found:
                if frame not in seen:
                    seen[frame] = self._look(pictures[frame], 1.0, self._turns)
            if found:
                self._add_points(track, first, {frame: (pictures[frame], seen[frame]) for frame in found})

    def _add_points(
        self, track: Track, first: int, frames: dict[int, tuple[Picture, list[f.Detection]]]
    ) -> None:
        """Fill the points of a face in these frames, each with its picture and what was detected there."""
        matrices, images = [], []
        for frame, (picture, seen) in frames.items():
            mesh = track.landmarks[first + frame][:MESH_POINTS]
            face = closest(seen, f.box_of(mesh))
            matrices.append(
                framed(f.box_of(mesh) if face is None else face.box, f.roi_of_landmarks(mesh).angle)
            )
            looked = matrices[-1] * [float(self._aspect), 1, 1]
            images.append(crop(picture, looked.astype(np.float32), MESH_SIZE))
        out = self._leaves(FACE_LANDMARKS_106.name, {"IMAGES": np.stack(images)})
        for frame, matrix, points in zip(frames, matrices, out["LANDMARKS"], strict=True):
            back = np.linalg.inv(matrix[:, :2]).T
            track.landmarks[first + frame][MESH_POINTS:, :2] = (points - matrix[:, 2]) @ back


def framed(box: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Return the map [2, 3] from picture pixels to the network's input, as in InsightFace's `landmark.py`.

    The square is not turned with the head, as the network expects, but by whole quarter turns where a person
    was filmed sideways. The box's centre becomes (96, 96).

    Args:
        box: x1, y1, x2, y2.
        angle: of the eyes, radians.
    """
    gain = MESH_SIZE / (_MARGIN * float((box[2:] - box[:2]).max()))
    turn = round(angle / (np.pi / 2)) * np.pi / 2
    cos, sin = gain * np.cos(turn), gain * np.sin(turn)
    linear = np.array([[cos, sin], [-sin, cos]])
    return np.concatenate([linear, (MESH_SIZE / 2 - linear @ ((box[:2] + box[2:]) / 2))[:, None]], 1)
