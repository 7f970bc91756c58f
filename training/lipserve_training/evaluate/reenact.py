"""Make the tiers speak in a clip as they are served: the code of their stages around their networks.

A clip is re-enacted: its speech is its own, and its pictures are those of half a clip away, so that the
source shows another mouth than the speech asks for. Both tiers get the same pictures.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve import audio
from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE, Framing
from lipserve.contracts.lipwarp import MOUTH_SIZE
from lipserve.crops import Cropper
from lipserve.leaves import Leaves
from lipserve.lipwarp import compose, speech
from lipserve.lipwarp import geometry as mouth
from lipserve.lipwarp.mouths import MouthCropper, PreparedTracker
from lipserve.lipwarp.prepare import prepare, stretches
from lipserve.lipwarp.render import Mouths, render
from lipserve.lipwarp.source import Person, from_bytes
from lipserve.media import cut, probe
from lipserve.media.encode import VideoWriter
from lipserve.media.picture import Picture, VideoInfo
from lipserve.segments import Span
from lipserve.tracking import Tracker, blocks
from lipserve.wav2lip import geometry
from lipserve.wav2lip.framing import GEOMETRIES
from lipserve.wav2lip.windows import mel_starts, mel_windows
from lipserve_training.evaluate.clips import Clip
from lipserve_training.lips import FPS

BATCH = 16  # crops in one call of the generator, as the server has it

Rows = dict[str, NDArray[Any]]
Mask = NDArray[np.float32]
Speak = Callable[[Samples], Iterator[Picture]]
"""Yields a clip's first pictures, as many as the speech lasts, their faces saying it."""


@dataclass(frozen=True)
class Driven:
    """What is sent of a clip: its pictures, half a clip away.

    Attributes:
        order: int64 [F], which of the clip's pictures each frame shows.
        pictures: F of them. video: the same as a file, without loss. info: what `probe` tells of it.
    """

    order: NDArray[np.int64]
    pictures: list[Picture]
    video: bytes
    info: VideoInfo

    @classmethod
    def of(cls, clip: Clip) -> Driven:
        order = (np.arange(len(clip)) + len(clip) // 2) % len(clip)
        pictures = [clip.pictures[index] for index in order]
        height, width = pictures[0].y.shape
        file = io.BytesIO()
        writer = VideoWriter(
            file, width, height, Fraction(FPS), pictures[0].colour, clip.pixel_aspect,
            crf=0, preset="ultrafast", threads=1,
        )  # fmt: skip
        with writer:
            for picture in pictures:
                writer.write(picture)
        video = file.getvalue()
        return cls(order, pictures, video, probe.probe(video))

    @property
    def span(self) -> Span:
        return Span(0, len(self.pictures))


class Driver(Protocol):
    """A tier: it looks at what is sent once, and then speaks as often as it is asked."""

    def look(self, driven: Driven) -> Speak: ...

    def mask(self, side: int) -> Mask:
        """Return what of a face crop the tier may touch, float32 [S, S], 0..1."""


class Wav2LipDriver:
    """The tier `wav2lip`: every face is its own reference, what is made is pasted."""

    def __init__(self, leaves: Leaves, mel_offset_ms: float, framing: Framing = "similarity") -> None:
        self._leaves, self._offset, self._crops = leaves, mel_offset_ms, GEOMETRIES[framing]

    def mask(self, side: int) -> Mask:
        return geometry.soft_mask(side)

    def look(self, driven: Driven) -> Speak:
        info = driven.info
        tracker = Tracker(self._leaves, info.fps, info.pixel_aspect, "largest", None)
        crops = self._crops
        rows = _rows(Cropper(tracker, info, crops, 0), driven)

        def speak(samples: Samples) -> Iterator[Picture]:
            mel, frames = audio.mel_wav2lip(samples), rows["FRAMES"]
            windows = mel_windows(mel, mel_starts(frames, info.fps, self._offset))
            made = [self._made(windows[i : i + BATCH], rows["FACES"][i : i + BATCH])
                    for i in range(0, len(frames), BATCH)]  # fmt: skip
            faces = np.concatenate(made) if made else rows["FACES"]

            def edit(picture: Picture, row: int) -> None:
                crops.paste(picture, faces[row], rows["TRANSFORMS"][row], float(rows["WEIGHTS"][row]))

            yield from _edited(driven, samples, frames, edit)

        return speak

    def _made(self, windows: NDArray[np.float32], faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._leaves("wav2lip_generator", {"MEL": windows, "FACES": faces})["GENERATED"]


class LipwarpDriver:
    """The tier `lipwarp`: the clip is prepared once, its own pixels are moved."""

    def __init__(self, leaves: Leaves) -> None:
        self._leaves = leaves

    def mask(self, side: int) -> Mask:
        return _mouth_mask(side)

    def look(self, driven: Driven) -> Speak:
        video, info = driven.video, driven.info
        keys = cut.key_frames(probe.scan(video), info)
        spans = stretches(driven.span, keys)
        prepared = prepare([video], spans, info, self._leaves, "largest", None, keys=keys)
        source = from_bytes(prepared.to_bytes())
        tracker = PreparedTracker(self._leaves, info, source, 0)
        rows = _rows(MouthCropper(tracker, info, source, 0), driven)

        def speak(samples: Samples) -> Iterator[Picture]:
            own = _first(rows, len(samples))
            if not source.people or not len(own["FRAMES"]):
                yield from _edited(driven, samples, own["FRAMES"], lambda picture, row: None)
                return
            (person,) = source.people
            made = self._made(own, samples, info, person)

            def edit(picture: Picture, row: int) -> None:
                motion = _motion({name: values[row] for name, values in made.items()}, person)
                compose.move(picture, motion, own["TRANSFORMS"][row], float(own["WEIGHTS"][row]))

            yield from _edited(driven, samples, own["FRAMES"], edit)

        return speak

    def _made(self, rows: Rows, samples: Samples, info: VideoInfo, person: Person) -> Rows:
        """Return what the generate stage gives for one person's mouths."""
        frames = rows["FRAMES"].astype(np.int64)
        peak = audio.whisper_peak(samples)
        heard = speech.heard(self._leaves, samples, 0, len(samples), peak, frames, info.fps, 0.0)
        mouths = Mouths(rows["FACES"], rows["POINTS"], rows["SHAPES"], rows["POSES"])
        wanted = heard.astype(np.float64) * person.reach
        return render(self._leaves, mouths, wanted, person, info.colour, lambda: None)


def frames_of(samples: int) -> int:
    """Return how many frames so many samples last."""
    return samples * FPS // SAMPLE_RATE


def _rows(cropper: Cropper, driven: Driven) -> Rows:
    for block in blocks(iter(driven.pictures), 0):
        cropper.add(block)
    return cropper.rows(np.arange(driven.span.frames), driven.span)


def _first(rows: Rows, samples: int) -> Rows:
    """Return the rows of the frames that a speech lasts."""
    heard = rows["FRAMES"] < frames_of(samples)
    return {name: values[heard] for name, values in rows.items()}


def _edited(
    driven: Driven, samples: Samples, frames: NDArray[np.int32], edit: Callable[[Picture, int], None]
) -> Iterator[Picture]:
    """Yield copies of the pictures, each changed by the rows [N], sorted by frame, that are its."""
    for frame, source in enumerate(driven.pictures[: frames_of(len(samples))]):
        picture = Picture(source.y.copy(), source.u.copy(), source.v.copy(), source.colour)
        for row in range(*np.searchsorted(frames, [frame, frame + 1])):
            edit(picture, row)
        yield picture


def _motion(given: dict[str, Any], person: Person) -> compose.Motion:
    first, second = (person.memories[index].patch for index in given["MEMORIES"])
    flow = given["FLOW"].astype(np.float32)
    patches, shares = (first, second), given["SHARES"]
    return compose.Motion(flow, given["BLEND"], given["PAINT"], patches, shares, given["OFFSETS"])


@cache
def _mouth_mask(side: int) -> Mask:
    """Return the mouth crop's mask where that crop lies in a face crop."""
    size = round(mouth.SIDE * side)
    unit = np.array([[[1 / side, 0, 0.5 / side], [0, 1 / side, 0.5 / side]]], np.float32)
    matrix = mouth.mouth_transforms(unit)[0] * np.float32(size / MOUTH_SIZE)
    matrix[:, 2] += np.float32(0.5 * size / MOUTH_SIZE - 0.5)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    shown = cv2.warpAffine(mouth.soft_mask(size), matrix, (side, side), flags=flags)
    return np.asarray(shown, np.float32)
