"""Videos of the portrait, and their SOURCE."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from demo import portrait
from lipserve.files.picture import Colour, MediaSource
from lipserve.leaves import Leaves
from lipserve.lipwarp.prepare import prepare, stretches
from lipserve.lipwarp.source import Source
from lipserve.media import cut, index, probe
from lipserve.media.encode import VideoWriter
from lipserve.segments import Span


def film(frames: list[NDArray[np.uint8]]) -> bytes:
    """Return frames uint8 [H, W, 3] RGB as an MP4 of 25 frames a second."""
    file = io.BytesIO()
    height, width, _ = frames[0].shape
    with VideoWriter(file, width, height, Fraction(25), Colour(), Fraction(1), crf=10) as writer:
        for frame in frames:
            writer.write(portrait.picture(frame))
    return file.getvalue()


def two_people(seconds: float = 1.0) -> bytes:
    """Return the portrait twice, side by side, 512 x 256, the one on the right smaller."""
    left, right = portrait.frames(seconds, (256, 256)), portrait.frames(seconds, (256, 256), 1.5)
    return film([np.concatenate(pair, 1) for pair in zip(left, right, strict=True)])


def look(
    video: MediaSource, leaves: Leaves, face: str = "largest", point: tuple[float, float] | None = None
) -> Source:
    """Return the SOURCE of a whole video."""
    info = probe.probe(video)
    keys = cut.key_frames(index.scan(video), info)
    spans = stretches(Span(0, info.frames), keys)
    return prepare([video] * len(spans), spans, info, leaves, face, point, "", keys)
