"""Detections and face meshes: decode them, choose the speaker, follow a face, bridge gaps.

All coordinates are pixels of the upright picture with its pixels made square.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import DETECTOR_SIZE, MESH_SIZE
from lipserve.files.picture import Picture
from lipserve.media.yuv import resized

DETECTION_SCORE = 0.6
NMS_IOU = 0.3
MESH_SCORE = 0.5  # below it there is no face to drive: profile, occlusion, cut
ROI_MARGIN = 1.5  # side of the mesh's input over the longer side of the face: what the mesh was trained on
ROI_DRIFT = 0.04  # of the side: a face this far off its square is looked at again
SAME_FACE_IOU = 0.3
BRIDGED_FRAMES = 2  # gaps this short are a flicker of the mesh, not a face that left
FADE_FRAMES = 3
PROFILE = 0.1  # of the way from one temple to the other: a nose tip nearer than this hides half the mouth
_EYES = (33, 263)
_NOSE, _TEMPLES = 1, (234, 454)

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Detection:
    """A face: box x1, y1, x2, y2, score 0..1, and the eyes [2, 2], the left one of an upright face first."""

    box: NDArray[np.float64]
    score: float
    eyes: NDArray[np.float64]


@dataclass(frozen=True)
class Roi:
    """The rotated square that the mesh looks at: centre [2], side in pixels, angle in radians."""

    centre: NDArray[np.float64]
    side: float
    angle: float

    def to_input(self) -> NDArray[np.float64]:
        """Return the map [2, 3] from picture pixels to the mesh's input pixels."""
        gain = MESH_SIZE / self.side
        cos, sin = gain * np.cos(self.angle), gain * np.sin(self.angle)
        linear = np.array([[cos, sin], [-sin, cos]])
        return np.concatenate([linear, ((MESH_SIZE - 1) / 2 - linear @ self.centre)[:, None]], 1)

    def far_from(self, other: Roi) -> bool:
        """Return whether a face framed by this square is off centre, or off scale, in the other."""
        shift = float(np.linalg.norm(self.centre - other.centre)) / other.side
        return shift > ROI_DRIFT or abs(np.log(self.side / other.side)) > 2 * ROI_DRIFT


def letterbox(picture: Picture, pixel_aspect: Fraction, shrink: float = 1.0) -> tuple[Image, float]:
    """Return the detector's input uint8 [640, 640, 3] RGB and its scale (input pixels per square pixel).

    The picture is scaled to fit. `shrink` below 1 makes it smaller, so that a face that fills the picture
    gets the border that detectors need.
    """
    height, width = picture.y.shape[0], picture.y.shape[1] * float(pixel_aspect)
    gain = shrink * DETECTOR_SIZE / max(height, width)
    size = (max(1, round(width * gain)), max(1, round(height * gain)))
    canvas = np.zeros((DETECTOR_SIZE, DETECTOR_SIZE, 3), np.uint8)
    canvas[: size[1], : size[0]] = resized(picture, *size)
    return canvas, gain


def detections(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    eyes: NDArray[np.float32],
    gain: float,
    turns: int = 0,
) -> list[Detection]:
    """Return the faces, best first, of one detector output: boxes [K, 4], scores [K], eyes [K, 2, 2].

    Args:
        gain: input pixels per picture pixel, from `letterbox`.
        turns: quarter turns to the left that the letterboxed input was given (`numpy.rot90`).
    """
    found: list[Detection] = []
    for index in np.argsort(-scores, kind="stable"):
        if scores[index] < DETECTION_SCORE:
            break
        corners = _turned_back(boxes[index].reshape(2, 2), turns) / gain
        box = np.concatenate([corners.min(0), corners.max(0)])
        if min(box[2:] - box[:2]) <= 0 or any(iou(box, f.box) > NMS_IOU for f in found):
            continue
        found.append(Detection(box, float(scores[index]), _turned_back(eyes[index], turns) / gain))
    return found


def _turned_back(points: NDArray[np.float32], turns: int) -> NDArray[np.float64]:
    """Return points [N, 2] of a square input that was turned left, where they were before."""
    out, last = points.astype(np.float64), DETECTOR_SIZE - 1
    for _ in range(turns % 4):
        out = np.stack([last - out[:, 1], out[:, 0]], -1)
    return out


def iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return intersection over union of two boxes x1, y1, x2, y2."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    whole = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
    return shared / whole if whole > 0 else 0.0


def choose(faces: list[Detection], wanted: str, point: tuple[float, float] | None) -> list[Detection]:
    """Return the faces that speak: all, the largest, or the one that covers `point` (or lies nearest)."""
    if wanted == "all" or not faces:
        return faces
    if point is None:
        return [max(faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])))]
    return [min(faces, key=lambda face: _distance(face.box, np.array(point)))]


def roi_of_detection(face: Detection) -> Roi:
    """Return the mesh's region of interest for a detected face."""
    across = face.eyes[1] - face.eyes[0]
    angle = float(np.arctan2(across[1], across[0]))
    size = face.box[2:] - face.box[:2]
    return Roi((face.box[:2] + face.box[2:]) / 2, ROI_MARGIN * float(size.max()), angle)


def roi_of_landmarks(landmarks: NDArray[np.float64]) -> Roi:
    """Return the mesh's next region of interest, from the last frame's mesh [468, 2+]."""
    landmarks = landmarks[:, :2]
    across = landmarks[_EYES[1]] - landmarks[_EYES[0]]
    angle = float(np.arctan2(across[1], across[0]))
    cos, sin = np.cos(angle), np.sin(angle)
    upright = landmarks @ np.array([[cos, -sin], [sin, cos]])
    low, high = upright.min(0), upright.max(0)
    centre: NDArray[np.float64] = np.array([[cos, -sin], [sin, cos]]) @ ((low + high) / 2)
    return Roi(centre, max(1.0, ROI_MARGIN * float((high - low).max())), angle)


def from_input(landmarks: NDArray[np.float32], roi: Roi) -> NDArray[np.float64]:
    """Return mesh points [..., 468, 3] in picture pixels from the mesh's own output [..., 468, 3].

    The third coordinate grows away from the camera, in pixels too, from about the middle of the head on.
    """
    matrix = roi.to_input()
    out = landmarks.astype(np.float64)
    out[..., :2] = (out[..., :2] - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    out[..., 2] *= roi.side / MESH_SIZE
    return out


def is_frontal(landmarks: NDArray[np.float64]) -> bool:
    """Return whether a mesh [468, 2+] shows both halves of the mouth, so that it can be driven."""
    landmarks = landmarks[:, :2]
    across = landmarks[_EYES[1]] - landmarks[_EYES[0]]
    left, right, nose = (float(landmarks[point] @ across) for point in (*_TEMPLES, _NOSE))
    return right > left and PROFILE < (nose - left) / (right - left) < 1 - PROFILE


def box_of(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the box x1, y1, x2, y2 around a mesh [468, 2+]."""
    landmarks = landmarks[:, :2]
    return np.concatenate([landmarks.min(0), landmarks.max(0)])


def bridge(
    landmarks: NDArray[np.float64], found: NDArray[np.bool_], cuts: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Fill short gaps in place, linearly over time, and return where there is a face now.

    A gap that a cut lies in, or ends at, is another scene and stays one.

    Args:
        landmarks: float64 [F, 468, D], rows without a face are overwritten where they are bridged.
        found: bool [F].
        cuts: bool [F], the frames that begin another scene.
    """
    known = np.flatnonzero(found)
    bridged = found.copy()
    for before, after in pairwise(known):
        gap = np.arange(before + 1, after)
        if 0 < len(gap) <= BRIDGED_FRAMES and not cuts[before + 1 : after + 1].any():
            part = ((gap - before) / (after - before))[:, None, None]
            landmarks[gap] = (1 - part) * landmarks[before] + part * landmarks[after]
            bridged[gap] = True
    return bridged


def fade(found: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the weight [F], 0..1, of the mask: it rises and falls over the frames next to a gap.

    A clip that begins or ends with a face begins or ends at full weight.
    """
    frames = np.arange(len(found))
    gaps = np.flatnonzero(~found)
    if not len(gaps):
        return np.ones(len(found), np.float32)
    right = np.searchsorted(gaps, frames)
    after = np.where(right < len(gaps), gaps[np.minimum(right, len(gaps) - 1)] - frames, len(found))
    left = np.searchsorted(gaps, frames, side="right") - 1
    before = np.where(left >= 0, frames - gaps[np.maximum(left, 0)], len(found))
    return np.clip(np.minimum(before, after) / (FADE_FRAMES + 1), 0, 1).astype(np.float32)


def _distance(box: NDArray[np.float64], point: NDArray[np.float64]) -> float:
    outside = np.maximum(np.maximum(box[:2] - point, point - box[2:]), 0)
    inside = np.linalg.norm((box[:2] + box[2:]) / 2 - point) / (1e3 + np.linalg.norm(box[2:] - box[:2]))
    return float(np.linalg.norm(outside) + inside)
