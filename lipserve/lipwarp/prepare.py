"""Preparation of a video: people, closed mouth, opening range, remembered mouths, as a SOURCE.

Only a spread of the frames is looked at: stretches of consecutive frames, each third of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve import align, faces
from lipserve.files.picture import Picture, VideoInfo
from lipserve.leaves import Leaves
from lipserve.lipwarp import cover, memory
from lipserve.lipwarp.cover import Shown
from lipserve.lipwarp.geometry import mouth_transforms, to_crop
from lipserve.lipwarp.points import MOVED
from lipserve.lipwarp.shapes import Basis, frontal, shapes, shipped_basis
from lipserve.lipwarp.source import MAX_PEOPLE, Memory, Person, Source, remember
from lipserve.looks import ALIKE, Look, apart, look
from lipserve.media import decode
from lipserve.media.opening import VideoSource
from lipserve.segments import Span
from lipserve.tracking import Tracker, blocks

STRETCHES = 8
STRETCH_FRAMES = 18  # of a stretch ...
STRIDE = 3  # ... of which every third is looked at
_ENOUGH = 4  # stretches that begin at key frames
_TYPICAL_REACH = 2.0  # deviations of the first direction: how far most mouths open
_REACH = (0.6, 1.5)  # of the typical one: less is a person who hardly spoke, more a yawn
_SILENT = 0.35  # of the typical reach: whose mouth moves less has not spoken at all
_FEW = 8  # sightings that tell nothing of how far a mouth opens
_CLOSED_SHARE = 0.15  # of the sightings, the most closed ones
_SHUT = 0.03  # eye distances between the inner lips of a mouth that is closed
_UPPER, _LOWER = (int(np.flatnonzero(point == MOVED)[0]) for point in (13, 14))


@dataclass(eq=False)
class _Sightings:
    """One person, seen in some frames: what each of them showed."""

    places: list[list[float]] = field(default_factory=list)
    meshes: list[NDArray[np.float64]] = field(default_factory=list)
    mouths: list[Memory] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)  # where they were first seen, and after each cut

    @property
    def box(self) -> NDArray[np.float64]:
        return faces.box_of(self.meshes[-1])


def stretches(needed: Span, keys: Sequence[int] = ()) -> list[Span]:
    """Return which frames are looked at, of those that a clip shows: all, or stretches spread over them.

    Args:
        keys: the frames that a decoder can begin with, rising. Each stretch moves back to one of its own;
            those that find none are left out, as long as enough remain, which then are longer.
    """
    if needed.count <= STRETCHES * STRETCH_FRAMES:
        return [needed]
    spread = np.linspace(needed.first, needed.stop - STRETCH_FRAMES, STRETCHES).round().astype(int).tolist()
    moved: list[int] = []
    free = needed.first
    for first in spread:
        nearest = bisect_right(keys, first) - 1
        if nearest >= 0 and keys[nearest] >= free:
            moved.append(keys[nearest])
            free = keys[nearest] + STRETCH_FRAMES
    firsts = moved if len(moved) >= _ENOUGH else spread
    longest = STRETCHES * STRETCH_FRAMES // len(firsts)
    return [Span(first, min(longest, after - first)) for first, after in pairwise([*firsts, needed.stop])]


def between(looked_at: Sequence[Span]) -> list[Span]:
    """Return stretches midway between those that showed nobody, where there is room for them."""
    middles = [(before.stop + after.first - STRETCH_FRAMES) // 2 for before, after in pairwise(looked_at)]
    return [
        Span(middle, STRETCH_FRAMES)
        for middle, before in zip(middles, looked_at, strict=False)
        if middle >= before.stop
    ]


def prepare(
    videos: Sequence[VideoSource],
    spans: Sequence[Span],
    info: VideoInfo,
    leaves: Leaves,
    face: str,
    point: tuple[float, float] | None,
    sha256: str = "",
    keys: Sequence[int] | None = None,
) -> Source:
    """Return the SOURCE of a video; where no face is seen it has no people.

    Args:
        videos: a file for each span, the video itself or a `cut` of it that holds the span.
        info: of the whole video.
        face, point: the request's option, and the pixel it names.
        sha256: of the whole video's file.
        keys: where all files are one: the frames that a decoder can begin with, rising.
    """
    people: list[_Sightings] = []
    for span, pictures in zip(spans, _shown(videos, spans, info, keys), strict=True):
        choice, where = (face, point) if not people or face == "all" else ("point", _middle(people[0]))
        tracker = Tracker(leaves, info.fps / STRIDE, info.pixel_aspect, choice, where)
        _look(pictures, span, info, tracker, people)
    found = [_person(seen, info) for seen in people[:MAX_PEOPLE]]
    return Source(sha256, info.width, info.height, info.frames, face, info.colour, tuple(found))


def _shown(
    videos: Sequence[VideoSource], spans: Sequence[Span], info: VideoInfo, keys: Sequence[int] | None
) -> Iterator[Iterator[Picture]]:
    """Return the pictures of each span."""
    if keys is not None:
        return decode.skim(videos[0], info, [(span.first, span.count) for span in spans], keys, threads=1)
    return (
        decode.read(video, info, span.first, span.count, threads=1)
        for video, span in zip(videos, spans, strict=True)
    )


def _look(
    pictures: Iterator[Picture], span: Span, info: VideoInfo, tracker: Tracker, people: list[_Sightings]
) -> None:
    """Add what one stretch shows to the people."""
    owners: dict[tuple[int, int], _Sightings | None] = {}  # of each track and shot
    first = 0
    for block in blocks(islice(pictures, 0, None, STRIDE), 0):
        tracker.add(block, first)
        for index, track in enumerate(tracker.tracks):
            meshes = track.landmarks[first : first + len(block)]
            for number, (picture, mesh) in enumerate(zip(block, meshes, strict=True), first):
                if track.found[number]:
                    shot = sum(tracker.cuts[1 : number + 1])
                    if (index, shot) not in owners:
                        taken = [seen for (_, when), seen in owners.items() if when == shot]
                        owners[index, shot] = _owner(mesh, picture, people, taken, tracker, info)
                    owner = owners[index, shot]
                    if owner is not None:
                        _add(owner, span.first + number * STRIDE, mesh, picture, info)
        first += len(block)


def _owner(
    mesh: NDArray[np.float64],
    picture: Picture,
    people: list[_Sightings],
    taken: list[_Sightings | None],
    tracker: Tracker,
    info: VideoInfo,
) -> _Sightings | None:
    """Return the person whom a track shows from here on, up to the next cut: one who was there, or a new one.

    None: it is somebody else's face, at the place of the one who is followed.

    Args:
        taken: people of the other tracks of this shot.
    """
    box = faces.box_of(mesh)
    aspect = float(info.pixel_aspect)
    seen_as = look(picture, (box[0] / aspect, box[1], box[2] / aspect, box[3]))
    free = [seen for seen in people if seen not in taken]
    if not tracker.follows_one:
        free = [seen for seen in free if faces.iou(seen.box, box) > faces.SAME_FACE_IOU]
    same = [seen for seen in free if min(apart(seen_as, own) for own in seen.looks) < ALIKE]
    if not same and people and tracker.follows_one:
        return None
    if not same:
        people.append(_Sightings())
    owner = max(same, key=lambda seen: faces.iou(seen.box, box)) if same else people[-1]
    owner.looks.append(seen_as)
    return owner


def _add(seen: _Sightings, frame: int, mesh: NDArray[np.float64], picture: Picture, info: VideoInfo) -> None:
    transform = mouth_transforms(align.estimate(mesh[None].astype(np.float32)), info.pixel_aspect)
    points = to_crop(mesh[None, MOVED], transform, info.pixel_aspect)[0]
    box = faces.box_of(mesh)
    middle = (box[:2] + box[2:]) / 2
    seen.places.append([float(frame), float(middle[0]), float(middle[1]), float((box[2:] - box[:2]).max())])
    seen.meshes.append(mesh)
    seen.mouths.append(remember(picture, transform[0], points, np.zeros(0)))


def _person(seen: _Sightings, info: VideoInfo) -> Person:
    basis = shipped_basis()
    points, poses = frontal(np.stack(seen.meshes), basis)
    crops = [mouth.crop(info.colour) for mouth in seen.mouths]
    plain = cover.alike([Shown(crop, mouth.points) for crop, mouth in zip(crops, seen.mouths, strict=True)])
    closed = _closed(points[plain], basis)
    lip_shapes = shapes(points, closed, basis)
    quality = _sharpness(crops) * np.clip(poses.rotation[:, 2, 2], 0, 1)
    kept = plain[memory.choose(lip_shapes[plain], quality[plain])]
    return Person(
        places=np.array(seen.places),
        closed=closed,
        reach=_reach(lip_shapes[plain, 0], basis),
        memories=tuple(replace(seen.mouths[index], shape=lip_shapes[index]) for index in kept),
    )


def _closed(points: NDArray[np.float64], basis: Basis) -> NDArray[np.float64]:
    """Return the closed mouth [133, 3]: the mean of the most closed ones, shut where they are not."""
    gaps = points[:, _LOWER, 1] - points[:, _UPPER, 1]
    count = max(min(3, len(gaps)), round(_CLOSED_SHARE * len(gaps)))
    closed = points[np.argsort(gaps, kind="stable")[:count]].mean(0)
    gap = closed[_LOWER, 1] - closed[_UPPER, 1]
    if gap > _SHUT:
        opening = basis.directions[0]
        closed = closed - opening * (gap / (opening[_LOWER, 1] - opening[_UPPER, 1]))
    return np.asarray(closed)


def _reach(openings: NDArray[np.float64], basis: Basis) -> float:
    typical = _TYPICAL_REACH * float(basis.deviation[0])
    if len(openings) < _FEW:
        return typical
    least, widest = np.quantile(openings, (0.05, 0.95))
    if widest - least < _SILENT * typical:
        return typical
    return float(np.clip(widest, _REACH[0] * typical, _REACH[1] * typical))


def _sharpness(crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return each crop's sharpness relative to the sharpest, 0..1."""
    detail = np.array(
        [float(cv2.Laplacian(cv2.cvtColor(c, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var()) for c in crops]
    )
    return np.asarray(detail / max(float(detail.max(initial=0)), 1e-6))


def _middle(seen: _Sightings) -> tuple[float, float]:
    return seen.places[-1][1], seen.places[-1][2]
