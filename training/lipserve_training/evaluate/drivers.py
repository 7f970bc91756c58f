"""The tiers as they are served: the code of their stages around their networks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve import align, audio
from lipserve.audio.samples import Samples
from lipserve.contracts import Framing
from lipserve.contracts.lipwarp import MOUTH_SIZE
from lipserve.crops import Cropper
from lipserve.files.picture import Picture, VideoInfo
from lipserve.leaves import Leaves
from lipserve.lipwarp import compose, speech
from lipserve.lipwarp import geometry as mouth
from lipserve.lipwarp.mouths import MouthCropper, PreparedTracker
from lipserve.lipwarp.prepare import prepare, stretches
from lipserve.lipwarp.render import Mouths, render
from lipserve.lipwarp.source import Person, from_bytes
from lipserve.media import cut, index
from lipserve.tracking import Tracker, blocks
from lipserve.wav2lip import box, geometry
from lipserve.wav2lip.framing import GEOMETRIES
from lipserve.wav2lip.windows import mel_starts, mel_windows
from lipserve_training.evaluate.clips import Clip
from lipserve_training.evaluate.reenact import Driven, Mask, Speak, frames_of

BATCH = 16  # crops in one call of the generator, as the server has it

Rows = dict[str, NDArray[Any]]
_FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


class Wav2LipDriver:
    """The tier `wav2lip`: every face is its own reference, what is made is pasted.

    Args:
        mel_offset_ms, framing: of the generator's weights.
    """

    def __init__(self, leaves: Leaves, mel_offset_ms: float, framing: Framing = "similarity") -> None:
        self._leaves, self._offset, self._crops = leaves, mel_offset_ms, GEOMETRIES[framing]

    def mask(self, side: int) -> Mask:
        return geometry.soft_mask(side)

    def border(self, clip: Clip, side: int) -> Mask:
        """Return the mask that is pasted: a box is taken where it lies in the clip's middle."""
        if not isinstance(self._crops, box.Box):
            return self.mask(side)
        middle, size = len(clip) // 2, self._crops.size
        height, width = clip.pictures[0].y.shape
        meshes, run = clip.landmarks[middle : middle + 1], np.zeros(1, np.int64)
        boxed = self._crops.transforms(meshes, run, clip.pixel_aspect, (width, height))[0]
        back = align.invert(clip.placed(side)[middle : middle + 1])[0].astype(np.float64)
        matrix = boxed[:, :2] @ back
        matrix[:, 2] += boxed[:, 2]
        return np.asarray(
            cv2.warpAffine(box.soft_border(size), matrix, (side, side), flags=_FLAGS), np.float32
        )

    def look(self, driven: Driven) -> Speak:
        info = driven.info
        tracker = Tracker(self._leaves, info.fps, info.pixel_aspect, "largest", None)
        rows = _rows(Cropper(tracker, info, self._crops, 0), driven)

        def speak(samples: Samples) -> Iterator[Picture]:
            frames = rows["FRAMES"]
            starts = mel_starts(frames, info.fps, self._offset)
            faces = self._made(mel_windows(audio.mel_wav2lip(samples), starts), rows["FACES"])

            def edit(picture: Picture, row: int) -> None:
                place, weight = rows["TRANSFORMS"][row], float(rows["WEIGHTS"][row])
                self._crops.paste(picture, faces[row], place, weight)

            yield from driven.edited(samples, frames, edit)

        return speak

    def _made(self, windows: NDArray[np.float32], faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
        made = np.empty_like(faces)
        for first in range(0, len(faces), BATCH):
            part = slice(first, first + BATCH)
            given: Rows = {"MEL": windows[part], "FACES": faces[part]}
            made[part] = self._leaves("wav2lip_generator", given)["GENERATED"]
        return made


class LipwarpDriver:
    """The tier `lipwarp`: the clip is prepared once, its own pixels are moved."""

    def __init__(self, leaves: Leaves) -> None:
        self._leaves = leaves

    def mask(self, side: int) -> Mask:
        return _mouth_mask(side)

    def border(self, clip: Clip, side: int) -> Mask:
        return self.mask(side)

    def look(self, driven: Driven) -> Speak:
        video, info = driven.video, driven.info
        keys = cut.key_frames(index.scan(video), info)
        spans = stretches(driven.span, keys)
        prepared = prepare([video], spans, info, self._leaves, "largest", None, keys=keys)
        source = from_bytes(prepared.to_bytes())
        tracker = PreparedTracker(self._leaves, info, source, 0)
        rows = _rows(MouthCropper(tracker, info, source, 0), driven)

        def speak(samples: Samples) -> Iterator[Picture]:
            heard = rows["FRAMES"] < frames_of(len(samples))
            own = {name: values[heard] for name, values in rows.items()}
            person = source.people[0] if source.people else None
            made = self._made(own, samples, info, person) if person and heard.any() else {}

            def edit(picture: Picture, row: int) -> None:
                assert person is not None
                given = {name: values[row] for name, values in made.items()}
                motion = compose.Motion.of(given, person.patches)
                compose.move(picture, motion, own["TRANSFORMS"][row], float(own["WEIGHTS"][row]))

            yield from driven.edited(samples, own["FRAMES"], edit)

        return speak

    def _made(self, rows: Rows, samples: Samples, info: VideoInfo, person: Person) -> Rows:
        """Return what the generate stage gives for one person's mouths."""
        frames = rows["FRAMES"].astype(np.int64)
        peak = audio.whisper_peak(samples)
        heard = speech.heard(self._leaves, samples, 0, len(samples), peak, frames, info.fps, 0.0)
        mouths = Mouths(rows["FACES"], rows["POINTS"], rows["SHAPES"], rows["POSES"])
        wanted = heard.astype(np.float64) * person.reach
        return render(self._leaves, mouths, wanted, person, info.colour, lambda: None)


def _rows(cropper: Cropper, driven: Driven) -> Rows:
    for block in blocks(iter(driven.pictures), 0):
        cropper.add(block)
    return cropper.rows(np.arange(driven.span.count), driven.span)


@cache
def _mouth_mask(side: int) -> Mask:
    """Return the mouth crop's mask where that crop lies in a face crop."""
    size = round(mouth.SIDE * side)
    unit = np.array([[[1 / side, 0, 0.5 / side], [0, 1 / side, 0.5 / side]]], np.float32)
    matrix = mouth.mouth_transforms(unit)[0] * np.float32(size / MOUTH_SIZE)
    matrix[:, 2] += np.float32(0.5 * size / MOUTH_SIZE - 0.5)
    return np.asarray(cv2.warpAffine(mouth.soft_mask(size), matrix, (side, side), flags=_FLAGS), np.float32)
