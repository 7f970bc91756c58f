"""Re-enactment: the inputs of a clip, and a tier's result for them.

A clip is re-enacted: its speech is its own, and its pictures are those of half a clip away, so that the
source shows another mouth than the speech asks for. Both tiers get the same pictures.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE
from lipserve.files.picture import Picture, VideoInfo
from lipserve.media import probe
from lipserve.media.encode import VideoWriter
from lipserve.quality.lips import FPS
from lipserve.segments import Span
from lipserve_training.evaluate.clips import Clip

Mask = NDArray[np.float32]
Speak = Callable[[Samples], Iterator[Picture]]
"""Yields a clip's first pictures, as many as the speech lasts, their faces saying it."""


@dataclass(frozen=True)
class Driven:
    """The input made of a clip: its pictures, half a clip away.

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

    def edited(
        self, samples: Samples, frames: NDArray[np.int32], edit: Callable[[Picture, int], None]
    ) -> Iterator[Picture]:
        """Yield copies of the pictures that a speech lasts, each changed by its rows.

        Args:
            frames: int32 [N], rising, the frame of each row.
            edit: changes a copy, in place, by one row.
        """
        for frame, source in enumerate(self.pictures[: frames_of(len(samples))]):
            picture = Picture(source.y.copy(), source.u.copy(), source.v.copy(), source.colour)
            for row in range(*np.searchsorted(frames, [frame, frame + 1])):
                edit(picture, row)
            yield picture


class Driver(Protocol):
    """A tier: it looks at what is sent once, and then speaks as often as it is asked."""

    def look(self, driven: Driven) -> Speak: ...

    def mask(self, side: int) -> Mask:
        """Return the part of a face crop where the mouth is made, float32 [S, S], 0..1: what is judged."""

    def border(self, clip: Clip, side: int) -> Mask:
        """Return the part of a clip's face crops that the tier may touch, float32 [S, S], 0..1."""


def frames_of(samples: int) -> int:
    """Return how many frames so many samples last."""
    return samples * FPS // SAMPLE_RATE
