"""Measurement of mouths as they are made: on a sample of the frames, at a small share of the clip's cost.

Twice a second (in short requests four times) the face mesh measures the lips of a made mouth, as it measures
any video's; once a second the mouth's looks are compared with those of the same mouth in the source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve import align, faces
from lipserve.align import Transforms
from lipserve.contracts import MESH_SIZE
from lipserve.contracts.lipwarp import MOUTH_SIZE
from lipserve.errors import ServerError
from lipserve.files.picture import Picture
from lipserve.leaves import Leaves
from lipserve.lipwarp.geometry import CENTRE, SIDE
from lipserve.quality import lips, looks, rest
from lipserve.quality.agreement import Sums
from lipserve.quality.looks import Luma
from lipserve.quality.mouths import Mouths
from lipserve.quality.watch import max_lag
from lipserve.report import Quality

_BATCH = 4  # mouths in one call of the mesh: what more of them pass through leaves the processor's cache
_MESH = (-0.145, -0.175, 1.29)  # x0, y0, side of the square that the mesh looks at, in the unit face crop
_FLICKER_SIDE = 96  # pixels of the face crops that flicker is measured in

_Looks = tuple[Luma, float | None]


@dataclass
class _Seen:
    """What the samples of one person gave."""

    frames: list[int] = field(default_factory=list)
    meshes: list[NDArray[np.float64]] = field(default_factory=list)


class Sampler:
    """Looks at some of the mouths of a request, before and after they are changed."""

    def __init__(self, leaves: Leaves, mouths: Mouths) -> None:
        self._leaves, self._fps, self._mouths = leaves, mouths.fps, mouths
        self._near = mouths.rhythm.near(mouths.frames, mouths.stop)
        self._waiting: list[tuple[int, NDArray[np.uint8]]] = []  # rows, and what the mesh will see
        self._seen: dict[int, _Seen] = {}
        self._held: dict[int, list[tuple[int, Luma, Luma]]] = {}  # the last three mouths of each person
        self._sharp: list[tuple[float, float]] = []
        self._flicker: list[tuple[float, float]] = []
        self._leaks: list[bool] = []

    def watch(self, row: int, picture: Picture, change: Callable[[], None]) -> None:
        """Let a mouth be changed, and look at it before and after where it belongs to the sample."""
        if not self._near[row]:
            change()
            return
        transform, looked_at = self._mouths.transforms[row], self._looked_at(row)
        source = self._look(row, picture, transform) if looked_at else None
        change()
        if source is not None:
            self._compare(row, self._look(row, picture, transform), source)
        if self._measured(row):
            cut = _placed(transform, *_MESH, MESH_SIZE)
            self._waiting.append((row, align.crop(picture, cut, MESH_SIZE)))
            if len(self._waiting) == _BATCH:
                self._measure()

    def result(self) -> Quality | None:
        """Return what the sample says; None: nothing was seen."""
        self._measure()
        count = sum(len(seen.frames) for seen in self._seen.values())
        if not count:
            return None
        by_offset = self._agreement()
        sharp, flicker = (np.array(values).reshape(-1, 2) for values in (self._sharp, self._flicker))
        return Quality(
            samples=count,
            by_offset=[round(score, 4) for score in by_offset],
            frame_ms=round(float(1000 / self._fps), 4),
            silent_samples=len(self._leaks),
            lip_leak=round(float(np.mean(self._leaks)), 4) if self._leaks else None,
            sharpness=_mean(sharp[:, 0]),
            sharpness_before=_mean(sharp[:, 1]),
            flicker=_mean(flicker[:, 0]),
            flicker_before=_mean(flicker[:, 1]),
        ).judged()

    def _frame(self, row: int) -> int:
        return int(self._mouths.frames[row])

    def _track(self, row: int) -> int:
        return int(self._mouths.tracks[row])

    def _measured(self, row: int) -> bool:
        return self._frame(row) % self._mouths.rhythm.lips == 0

    def _looked_at(self, row: int) -> bool:
        return bool(self._mouths.rhythm.looks_at(self._mouths.frames[row : row + 1])[0])

    def _look(self, row: int, picture: Picture, transform: Transforms) -> _Looks:
        mouth = _luma(picture, transform, looks.MOUTH, _FLICKER_SIDE)
        if self._frame(row) % self._mouths.rhythm.looks:
            return mouth, None
        lower = _luma(picture, transform, looks.LOWER, looks.FACE_SIDE)
        return mouth, looks.detail_beside(lower, looks.FACE_SIDE)

    def _compare(self, row: int, made: _Looks, source: _Looks) -> None:
        if made[1] is not None and source[1] is not None:
            self._sharp.append((made[1], source[1]))
        held = self._held.setdefault(self._track(row), [])
        held.append((self._frame(row), made[0], source[0]))
        del held[:-3]
        if len(held) == 3 and held[2][0] - held[0][0] == 2:
            series = [mouth for _, mouth, _ in held], [mouth for _, _, mouth in held]
            after, before = (float(looks.second_differences(mouths)[0]) for mouths in series)
            self._flicker.append((after, before))

    def _measure(self) -> None:
        if not self._waiting:
            return
        rows, images = zip(*self._waiting, strict=True)
        self._waiting = []
        try:
            out = self._leaves("face_landmarks", {"IMAGES": np.stack(images)})
        except ServerError:  # a result is worth more than its measurement: those samples are missing
            return
        for row, mesh, score in zip(rows, out["LANDMARKS"], out["SCORES"][:, 0], strict=True):
            if score >= faces.MESH_SCORE:
                seen = self._seen.setdefault(self._track(row), _Seen())
                seen.frames.append(self._frame(row))
                seen.meshes.append(mesh.astype(np.float64))
                if self._mouths.quiet[row]:
                    self._leaks.append(bool(rest.apart(mesh[None].astype(np.float64))[0] > rest.LEAKING))

    def _agreement(self) -> Sequence[float]:
        """Return the score at every offset, of all people together; empty: the speech asks for nothing."""
        total, weight = np.zeros(2 * max_lag(self._fps) + 1), 0
        frames = self._mouths.frames
        for track, seen in self._seen.items():
            own = np.flatnonzero(self._mouths.tracks == track)
            first = int(frames[own[0]])
            asked = np.full((int(frames[own[-1]]) + 1 - first, 4), np.nan)
            asked[frames[own] - first] = self._mouths.asked[own]
            measured = lips.measure(np.stack(seen.meshes))
            sums = Sums(max_lag(self._fps), measured[0])
            sums.add(measured, np.array(seen.frames), asked, first)
            if sums.asks and sums.count > 2:
                total += sums.count * sums.curve()
                weight += sums.count
        return (total / weight).tolist() if weight else []


def _placed(transform: Transforms, x0: float, y0: float, side: float, size: int) -> Transforms:
    """Return picture pixel -> pixel of a square of the unit face crop, from that of the mouth crop."""
    gain = SIDE / MOUTH_SIZE * size / side
    shift = [size * (corner - SIDE / 2 + 0.5 * SIDE / MOUTH_SIZE - low) / side - 0.5
             for corner, low in zip(CENTRE, (x0, y0), strict=True)]  # fmt: skip
    out = gain * transform.astype(np.float64)
    out[:, 2] += shift
    return out.astype(np.float32)


def _luma(picture: Picture, transform: Transforms, box: tuple[float, float, float, float], side: int) -> Luma:
    """Return the luma of a box [h, w] of the face crop of that side, by the transform of the mouth crop."""
    x0, y0, x1, y1 = (round(edge * side) for edge in box)
    placed = _placed(transform, 0, 0, 1, side)
    placed[:, 2] -= x0, y0
    cut = cv2.warpAffine(picture.y, placed, (x1 - x0, y1 - y0), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, np.float32)


def _mean(values: NDArray[np.float64]) -> float | None:
    return round(float(values.mean()), 3) if len(values) else None
