"""One video to scenes: stretches without a cut in which one face is seen all the time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipserve import align, faces
from lipserve.files.picture import Picture, VideoInfo
from lipserve.leaves import Leaves
from lipserve.media import decode
from lipserve.quality.lips import FPS
from lipserve.tracking import Track, Tracker, blocks

REGION = Fraction(4, 3)  # of the face crop's side: what a stored crop shows, the face crop in the middle
CROP_SIZES = (256, 512)  # pixels, the smallest and the largest stored crop: 2 to 4 for each of 96 ...
_CROP_STEP = 32  # ... and it is a multiple of this


@dataclass(frozen=True)
class Scene:
    """A face, re-timed to 25 fps.

    Attributes:
        first: its first frame, counted at 25 fps from the video's first.
        frames: int64 [F], source frames, one for each frame at 25 fps.
        transforms: float32 [F, 2, 3], picture pixels to pixels of a unit face crop.
        landmarks: float64 [F, 468, 3], picture pixels, made square; z grows away from the camera.
    """

    first: int
    frames: NDArray[np.int64]
    transforms: align.Transforms
    landmarks: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frames)

    def meshes(self) -> NDArray[np.float32]:
        """Return the landmarks in sides of the unit face crop, float32 [F, 468, 3]."""
        linear = self.transforms[:, :, :2].astype(np.float64)
        flat = self.landmarks[..., :2] @ linear.transpose(0, 2, 1) + self.transforms[:, None, :, 2]
        depth = self.landmarks[..., 2:] * np.linalg.norm(linear[:, 0], axis=1)[:, None, None]
        return np.asarray(np.concatenate([flat, depth], -1), np.float32)

    def crop_size(self) -> int:
        """Return the side of a stored crop that is as dense as the picture, within CROP_SIZES."""
        side = float(REGION) * float(np.median(1 / np.linalg.norm(self.transforms[:, 0, :2], axis=1)))
        return int(np.clip(-(-side // _CROP_STEP) * _CROP_STEP, *CROP_SIZES))

    def between(self, begin: int, end: int) -> Scene:
        """Return what of the scene lies between two moments of the video: frames `begin` .. `end - 1`."""
        kept = slice(max(0, begin - self.first), max(0, end - self.first))
        return Scene(max(begin, self.first), self.frames[kept], self.transforms[kept], self.landmarks[kept])


def follow(path: Path, info: VideoInfo, leaves: Leaves) -> tuple[Track | None, NDArray[np.bool_]]:
    """Return the largest face's track through a video, and the frames that begin another scene [F]."""
    tracker = Tracker(leaves, info.fps, info.pixel_aspect, "largest", None)
    first = 0
    for block in blocks(decode.read(str(path), info, 0, info.frames, threads=1), 0):
        tracker.add(block, first)
        first += len(block)
    return (tracker.tracks[0] if tracker.tracks else None), np.array(tracker.cuts, bool)


def scenes(track: Track, cuts: NDArray[np.bool_], info: VideoInfo, longest: int) -> Iterator[Scene]:
    """Yield the scenes of a track, in time; those longer than `longest` frames at 25 fps in even parts.

    Where the face is suddenly elsewhere, the track went on with somebody else: another scene begins.
    """
    landmarks, found = np.array(track.landmarks), np.array(track.found)
    cuts = cuts.copy()
    for before, after in pairwise(np.flatnonzero(found)):
        if faces.iou(faces.box_of(landmarks[before]), faces.box_of(landmarks[after])) < faces.SAME_FACE_IOU:
            cuts[after] = True
    present = faces.bridge(landmarks, found, cuts)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]]).astype(int)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        inner = begin + np.flatnonzero(cuts[begin:end])
        bounds = sorted({int(begin), *map(int, inner), int(end)})
        for start, stop in pairwise(bounds):
            yield from _retimed(landmarks, start, stop, info, longest)


def _retimed(
    landmarks: NDArray[np.float64], start: int, stop: int, info: VideoInfo, longest: int
) -> Iterator[Scene]:
    exact = align.estimate(landmarks[start:stop].astype(np.float32))
    smoothed = align.smooth(exact, np.zeros(stop - start, np.int64))
    moments = np.arange(-retimed(-start, info), retimed(stop, info))
    middles = (2 * moments + 1) * info.fps.numerator // (2 * FPS * info.fps.denominator)
    if len(moments):
        parts = -(-len(moments) // longest)
        for first, frames in zip(*(np.array_split(a, parts) for a in (moments, middles)), strict=True):
            yield Scene(int(first[0]), frames, smoothed[frames - start], landmarks[frames])


def retimed(frames: int, info: VideoInfo) -> int:
    """Return how many frames at 25 fps end within the first `frames` of a video."""
    return frames * FPS * info.fps.denominator // info.fps.numerator


def crops(path: Path, info: VideoInfo, scene: Scene) -> Iterator[NDArray[np.uint8]]:
    """Yield the crops of a scene, uint8 [S, S, 3] RGB: the face crop in the middle, a sixth around it."""
    size = scene.crop_size()
    transforms = align.scale(wider(scene.transforms), size, info.pixel_aspect)
    for picture, transform in zip(pictures(path, info, scene), transforms, strict=True):
        yield align.crop(picture, transform, size)


def wider(transforms: align.Transforms) -> align.Transforms:
    """Return unit-crop transforms [F, 2, 3] that show REGION of what the given ones show."""
    out = transforms.astype(np.float64) / float(REGION)
    out[:, :, 2] += 0.5 - 0.5 / float(REGION)
    return out.astype(np.float32)


def pictures(path: Path, info: VideoInfo, scene: Scene) -> Iterator[Picture]:
    """Yield the pictures of a scene, one for each frame at 25 fps; one that repeats is the same object."""
    first, last = int(scene.frames[0]), int(scene.frames[-1])
    shown = iter(decode.read(str(path), info, first, last - first + 1, threads=1))
    number, picture = first, next(shown)
    for frame in scene.frames:
        while number < frame:
            number, picture = number + 1, next(shown)
        yield picture
