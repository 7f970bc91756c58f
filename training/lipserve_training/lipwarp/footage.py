"""Clips of a dataset as the tier lipwarp sees them: mouths, their points and shapes, and the speech."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.contracts.lipwarp import MOUTH_SIZE
from lipserve.lipwarp.geometry import Points, mouth_transforms, to_crop
from lipserve.lipwarp.points import MOVED
from lipserve.lipwarp.shapes import Series, frontal, shapes, shipped_basis
from lipserve.quality.lips import MEASURES
from lipserve_training.data import store, track

MARGIN = MOUTH_SIZE / 6  # pixels of the mouth crop that are kept around it, for other framings of it
_CLOSED_SHARE = 1 / 7  # of a clip's frames, the most closed ones
_OPENING = MEASURES.index("opening")
_WIDE = 0.95  # quantile of the first number of a speaker's shapes: how far the mouth opens
_LEAST = 0.7  # deviations of the first direction: who opens less has hardly spoken
_MOUTH = mouth_transforms(np.eye(2, 3, dtype=np.float32)[None])  # sides of the unit crop -> mouth crop


@dataclass(frozen=True)
class Footage:
    """One clip in memory.

    Attributes:
        entry: what the index tells of it.
        samples: float32 [640 F], 16 kHz, in sync with the lips.
        lips: float64 [F, 4], `lips.MEASURES`.
        points: float32 [F, 133, 2], the MOVED points in pixels of the mouth crop.
        shapes: float64 [F, K], beside the closed mouth of the clip.
        mouths: uint8 [F, H, W, 3] RGB, the mouth crop and MARGIN around it; None where nobody asked for it.
        placement: float64 [2, 3], pixel of `mouths` -> pixel of the mouth crop.
    """

    entry: store.Entry
    samples: NDArray[np.float32]
    lips: Series
    points: Points
    shapes: Series
    mouths: NDArray[np.uint8] | None
    placement: Series

    def __len__(self) -> int:
        return len(self.shapes)


def read(dataset: Path, entry: store.Entry, pictures: bool = True) -> Footage:
    """Return a clip of a dataset, or raise SetupError."""
    clip = store.read(dataset, entry.clip)
    size = min(len(clip.image(0)), track.CROP_SIZES[0])
    part, placement = _around(size)
    mouths = None
    if pictures:
        mouths = np.stack([clip.image(frame, size)[part] for frame in range(len(clip.images))])
    points, shapes = described(clip.meshes, clip.lips)
    return Footage(entry, clip.samples, clip.lips, points, shapes, mouths, placement)


def described(meshes: NDArray[np.float32], lips: Series) -> tuple[Points, Series]:
    """Return the points [F, 133, 2] and the shapes [F, K] of meshes [F, 468, 3] in sides of the unit crop."""
    basis = shipped_basis()
    turned, _ = frontal(meshes.astype(np.float64), basis)
    transforms = np.repeat(_MOUTH, len(meshes), 0)
    points = to_crop(meshes[:, MOVED].astype(np.float64), transforms, Fraction(1))
    return points, shapes(turned, closed(turned, lips), basis)


def closed(turned: Series, lips: Series) -> Series:
    """Return the closed mouth [133, 3] of frontal points [F, 133, 3]: the mean of the most closed ones."""
    count = max(3, int(len(lips) * _CLOSED_SHARE))
    return np.asarray(turned[np.argsort(lips[:, _OPENING], kind="stable")[:count]].mean(0))


def sharpness(mouths: NDArray[np.uint8]) -> Series:
    """Return how sharp each picture [F, H, W, 3] is beside the sharpest of the clip, 0..1."""
    greys = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in mouths)
    detail = np.array([float(cv2.Laplacian(grey, cv2.CV_32F).var()) for grey in greys])
    return np.asarray(detail / max(float(detail.max()), 1e-6))


def reaches(clips: Sequence[Footage]) -> dict[str, float]:
    """Return how far each speaker's mouth opens: the first number of a wide open shape; there is a least."""
    seen = defaultdict(list)
    for clip in clips:
        seen[clip.entry.speaker].append(clip.shapes[:, 0])
    least = _LEAST * float(shipped_basis().deviation[0])
    return {
        name: max(float(np.quantile(np.concatenate(parts), _WIDE)), least) for name, parts in seen.items()
    }


def weights(clips: Sequence[Footage], power: float, favour: Mapping[str, float]) -> Series:
    """Return the chances [N] of clips in a draw.

    Args:
        power: of a speaker's frames: 1 draws every frame alike, 0 every speaker.
        favour: by how much more some speakers are drawn.
    """
    spoken: dict[str, int] = defaultdict(int)
    for clip in clips:
        spoken[clip.entry.speaker] += len(clip)
    chances = np.array(
        [
            len(clip) * spoken[clip.entry.speaker] ** (power - 1) * favour.get(clip.entry.speaker, 1.0)
            for clip in clips
        ]
    )
    return np.asarray(chances / chances.sum())


def _around(size: int) -> tuple[tuple[slice, slice], Series]:
    """Return what of a stored crop is kept, and the map [2, 3] of its pixels to those of the mouth crop."""
    gain = float(track.REGION) / size  # sides of the unit crop in a stored pixel
    edge = (float(track.REGION) - 1) / 2
    mouth = _MOUTH[0].astype(np.float64)
    whole = np.array([[gain, 0, 0.5 * gain - edge], [0, gain, 0.5 * gain - edge], [0, 0, 1]])
    placement = mouth @ whole
    corners = np.array([-0.5 - MARGIN, MOUTH_SIZE - 0.5 + MARGIN])
    low, high = (
        np.clip(np.round((corner - placement[:, 2]) / placement[0, 0]), 0, size).astype(int)
        for corner in corners
    )
    placement[:, 2] += placement[:, :2] @ low
    return (slice(low[1], high[1]), slice(low[0], high[0])), placement
