"""Make a checkpoint's generator speak in a clip, as the server would, and look at its lips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipserve import align, audio, faces
from lipserve.audio.samples import Samples
from lipserve.contracts import FACE_LANDMARKS, MESH_SIZE, WAV2LIP_GENERATOR, WAV2LIP_SIZE, Framing
from lipserve.media.picture import Picture
from lipserve.wav2lip.framing import GEOMETRIES
from lipserve.wav2lip.windows import mel_starts, mel_windows
from lipserve_export import runtime
from lipserve_export.checkpoints import load_generator, read_framing, read_mel_offset
from lipserve_export.generator import wav2lip_network
from lipserve_training import lips
from lipserve_training.evaluate.clips import Clip
from lipserve_training.faces import FaceModels
from lipserve_training.lips import FPS

Crops = NDArray[np.uint8]
Windows = NDArray[np.float32]


class Generator:
    """A checkpoint as it is served: its layers folded, in ONNX Runtime, its pictures rounded to 8 bits.

    The served graph takes one face as picture and as reference; here they are two, and with the same face
    twice the result is that graph's to the bit.

    Attributes:
        sha256: of the checkpoint.
        mel_offset_ms: of the window that a frame hears.
        framing: of the crops that it knows.
    """

    def __init__(self, checkpoint: Path) -> None:
        model, self.sha256 = load_generator(checkpoint)
        self.mel_offset_ms = read_mel_offset(checkpoint)
        self.framing = read_framing(checkpoint)
        self.variant = model.variant.name
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self._network = runtime.session(wav2lip_network(model))

    def windows(self, samples: Samples, frames: int) -> Windows:
        """Return what each frame hears of a speech, float32 [F, 1, 80, 16]."""
        starts = mel_starts(np.arange(frames, dtype=np.int32), Fraction(FPS), self.mel_offset_ms)
        return mel_windows(audio.mel_wav2lip(samples), starts)

    def __call__(self, windows: Windows, shown: Crops, references: Crops) -> Crops:
        """Return faces uint8 [F, 96, 96, 3] RGB that say what `windows` [F, 1, 80, 16] hold.

        Args:
            shown: uint8 [F, 96, 96, 3] RGB, of which the upper half is used.
            references: uint8 [F, 96, 96, 3] RGB, the same person at any moment.
        """
        batch = WAV2LIP_GENERATOR.max_batch_size
        parts = [
            self._run(windows[i : i + batch], shown[i : i + batch], references[i : i + batch])
            for i in range(0, len(windows), batch)
        ]
        return np.concatenate(parts)

    def _run(self, windows: Windows, shown: Crops, references: Crops) -> Crops:
        masked = shown.copy()
        masked[:, WAV2LIP_SIZE // 2 :] = 0
        channels = np.concatenate([masked, references], 3).transpose(0, 3, 1, 2)
        pixels = channels.astype(np.float32) * np.float32(1 / 255)
        made = runtime.run(self._network, {"MEL": windows, "FACES": pixels})["GENERATED"]
        levels: Crops = np.rint(made * np.float32(255)).astype(np.uint8)
        return levels.transpose(0, 2, 3, 1)


def pasted(
    clip: Clip, made: Crops, frames: Iterable[int], framing: Framing = "similarity"
) -> Iterator[Picture]:
    """Yield copies of a clip's pictures, each with its generated face [96, 96, 3] in it.

    Args:
        framing: of the crops that the faces were made of.
    """
    transforms, crops = clip.framed(framing), GEOMETRIES[framing]
    for face, frame in zip(made, frames, strict=True):
        source = clip.pictures[frame]
        picture = Picture(source.y.copy(), source.u.copy(), source.v.copy(), source.colour)
        crops.paste(picture, face, transforms[frame])
        yield picture


def lips_of(
    models: FaceModels, clip: Clip, pictures: Iterable[Picture], frames: Iterable[int]
) -> lips.Series:
    """Return the lip measures [F, 4] of pictures of a clip.

    The mesh looks through the square that the clip's true face asks for: the source's own lips and generated
    ones are measured in the same place.
    """
    arriving = zip(pictures, frames, strict=True)
    meshes = []
    while block := list(islice(arriving, FACE_LANDMARKS.max_batch_size)):
        rois = [faces.roi_of_landmarks(clip.landmarks[frame]) for _, frame in block]
        images = []
        for (picture, _), roi in zip(block, rois, strict=True):
            matrix = roi.to_input()
            matrix[:, 0] *= float(clip.pixel_aspect)
            images.append(align.crop(picture, matrix.astype(np.float32), MESH_SIZE))
        points = models("face_landmarks", {"IMAGES": np.stack(images)})["LANDMARKS"]
        meshes += [faces.from_input(mesh, roi) for mesh, roi in zip(points, rois, strict=True)]
    return lips.measure(np.stack(meshes))
