"""Pictures to write, and what was written as a reader sees it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve.files.picture import Colour, Picture
from lipserve.media.encode import VideoWriter


@dataclass(frozen=True)
class Shown:
    """A decoded frame: when it is shown, and its three planes."""

    time: Fraction
    planes: tuple[NDArray[np.uint8], ...]


def encode(pictures: list[Picture], fps: Fraction = Fraction(25), **options: Any) -> bytes:
    height, width = pictures[0].y.shape
    colour = options.pop("colour", Colour())
    file = io.BytesIO()
    with VideoWriter(file, width, height, fps, colour, **options) as writer:
        for picture in pictures:
            writer.write(picture)
    return file.getvalue()
