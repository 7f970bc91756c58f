"""Clips of the evaluation: stretches of real talking video, and whether their speakers are held out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lipserve import align, faces
from lipserve.audio.samples import Samples
from lipserve.errors import InputError
from lipserve.files.picture import Picture, VideoInfo
from lipserve.leaves import Leaves
from lipserve.media import probe
from lipserve.quality import lips
from lipserve_training.data import prepare, sync, track
from lipserve_training.data.videos import Video
from lipserve_training.train.recipe import Data

Split = Literal["heldout", "seen", "trained"]

LONGEST = 150  # frames of a clip: of a longer scene its beginning
REACH = 2.2  # half the longer side of a face: the mesh's turned square and SyncNet's crop end inside


@dataclass(frozen=True)
class Clip:
    """A stretch of one face at 25 fps, with its speech. In memory is what lies around the face, nothing else.

    Attributes:
        first: its first frame, counted at 25 fps from the video's first.
        pictures: what lies around the face, F of them.
        transforms: float32 [F, 2, 3], square pixels of these pictures to the unit crop.
        landmarks: float64 [F, 468, 2], square pixels of these pictures.
        pixel_aspect: of their pixels.
        samples: float32 [640 F], in sync with the lips; none where nothing is known of its speech.
        offset: frames by which the lips came later than the file's sound; `samples` is moved by it.
        in_sync: whether the meter finds that lips and speech belong together.
    """

    name: str
    speaker: str
    split: Split
    first: int
    pictures: list[Picture]
    transforms: align.Transforms
    landmarks: NDArray[np.float64]
    pixel_aspect: Fraction
    samples: Samples
    offset: int
    in_sync: bool

    def __len__(self) -> int:
        return len(self.pictures)

    def placed(self, size: int) -> align.Transforms:
        """Return the transforms [F, 2, 3] from pixels of the pictures to those of a crop of `size`."""
        return align.scale(self.transforms, size, self.pixel_aspect)

    def face_side(self) -> float:
        """Return the median side of the face crop in the pictures, square pixels."""
        return float(np.median(1 / np.linalg.norm(self.transforms[:, 0, :2], axis=1)))


def split_of(video: Video, data: Data, trained: Collection[str]) -> Split:
    """Return the split of a clip: heldout, seen or trained.

    A speaker who is held out, or is not one of `trained`, is "heldout"; a clip that the recipe leaves out of
    the training of a speaker it has heard is "seen"; any other one was "trained" on.
    """
    if video.speaker in data.hold_out:
        return "heldout"
    if any(video.name in (source, source.rpartition("/")[2]) for source in data.unheard):
        return "seen"
    return "trained" if video.speaker in trained else "heldout"


def read(video: Video, split: Split, leaves: Leaves, settings: prepare.Settings) -> Clip:
    """Return the beginning of a video's longest scene, with its speech.

    Raises:
        InputError: no sound, no face that can be followed, no scene that is long enough, or no video.
    """
    info = probe.probe(str(video.path))
    if not info.has_audio:
        raise InputError("no sound")
    samples = sync.speech(video.path)
    scene = _longest(video, info, leaves, prepare.MIN_FRAMES)
    late, score = sync.sync_of(lips.measure(scene.landmarks), samples, scene, settings.offset)
    in_sync = score >= settings.least(len(scene))
    scene = scene.between(scene.first, scene.first + LONGEST)
    return _clip(video, split, info, scene, sync.heard(samples, scene, late), late, in_sync)


def read_silent(video: Video, leaves: Leaves) -> Clip:
    """Return the beginning of a video's longest scene, however short, whether it sounds or not.

    Raises:
        InputError: no face that can be followed, or no video.
    """
    info = probe.probe(str(video.path))
    scene = _longest(video, info, leaves, 2)
    scene = scene.between(scene.first, scene.first + LONGEST)
    return _clip(video, "heldout", info, scene, np.zeros(0, np.float32), 0, in_sync=False)


def _longest(video: Video, info: VideoInfo, leaves: Leaves, least: int) -> track.Scene:
    face, cuts = track.follow(video.path, info, leaves)
    scenes = list(track.scenes(face, cuts, info, max(1, track.retimed(info.frames, info)))) if face else []
    longest = max(scenes, key=len, default=None)
    if longest is None or len(longest) < least:
        raise InputError(f"no face that can be followed for {least} frames")
    return longest


def _clip(
    video: Video,
    split: Split,
    info: VideoInfo,
    scene: track.Scene,
    samples: Samples,
    offset: int,
    in_sync: bool,
) -> Clip:
    x0, y0, x1, y1 = _around(scene, info)
    corner = np.array([x0 * float(info.pixel_aspect), y0])
    transforms = scene.transforms.astype(np.float64)
    transforms[:, :, 2] += transforms[:, :, :2] @ corner
    return Clip(
        name=video.name,
        speaker=video.speaker,
        split=split,
        first=scene.first,
        pictures=[_cut(picture, x0, y0, x1, y1) for picture in track.pictures(video.path, info, scene)],
        transforms=transforms.astype(np.float32),
        landmarks=scene.landmarks[..., :2] - corner,
        pixel_aspect=info.pixel_aspect,
        samples=samples,
        offset=offset,
        in_sync=in_sync,
    )


def _around(scene: track.Scene, info: VideoInfo) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of what the face needs around it in all frames: whole chroma samples."""
    boxes = np.array([faces.box_of(mesh) for mesh in scene.landmarks])
    reach = REACH / 2 * (boxes[:, 2:] - boxes[:, :2]).max(1)[:, None]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    square = np.array([float(info.pixel_aspect), 1.0])
    low = (centres - reach).min(0) / square
    high = (centres + reach).max(0) / square
    x0, y0 = (max(0, 2 * int(value // 2)) for value in low)
    x1, y1 = (2 * int(-(-value // 2)) for value in high)
    return x0, y0, min(x1, info.width), min(y1, info.height)


def _cut(picture: Picture, x0: int, y0: int, x1: int, y1: int) -> Picture:
    half = (slice(y0 // 2, -(-y1 // 2)), slice(x0 // 2, -(-x1 // 2)))
    luma = picture.y[y0:y1, x0:x1].copy()
    return Picture(luma, picture.u[half].copy(), picture.v[half].copy(), picture.colour)
