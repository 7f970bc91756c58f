"""Pictures to write, and an independent way to read what was written."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.media.picture import Colour, Picture


@dataclass(frozen=True)
class Shown:
    """A decoded frame: when it is shown, and its three planes."""

    time: Fraction
    planes: tuple[NDArray[np.uint8], ...]


def _padded(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the same samples in rows that are longer than they need be, as decoders give them."""
    wide = np.full((plane.shape[0], plane.shape[1] + 13), 77, np.uint8)
    wide[:, : plane.shape[1]] = plane
    return wide[:, : plane.shape[1]]


@pytest.fixture(scope="session")
def moving_pictures() -> Callable[..., list[Picture]]:
    """Return a function that makes n pictures of a smooth texture that moves, their rows padded."""

    def make(n: int, width: int, height: int, seed: int = 0, noise: int = 4) -> list[Picture]:
        rng = np.random.default_rng(seed)
        size = (height + 2 * n + 2, width + 2 * n + 2)
        texture = cv2.GaussianBlur(rng.integers(0, 256, size, dtype=np.uint8), (0, 0), 4)
        texture = cv2.normalize(texture, None, 16, 235 - noise, cv2.NORM_MINMAX)
        pictures = []
        for i in range(n):
            y = texture[i : i + height, 2 * i : 2 * i + width] + rng.integers(0, noise + 1, dtype=np.uint8)
            u = texture[i : i + height : 2, i : i + width : 2]
            v = 255 - u
            pictures.append(Picture(_padded(y), _padded(u), _padded(v), Colour()))
        return pictures

    return make


@pytest.fixture(scope="session")
def shown() -> Callable[[bytes], list[Shown]]:
    """Return a function that decodes a video with PyAV alone; a decoder's error raises."""

    def decode(data: bytes) -> list[Shown]:
        frames = []
        with av.open(io.BytesIO(data), options={"err_detect": "explode"}) as container:
            for frame in container.decode(video=0):
                assert not frame.is_corrupt
                planes = tuple(
                    np.frombuffer(memoryview(p), np.uint8).reshape(p.height, p.line_size)[:, : p.width].copy()
                    for p in frame.planes
                )
                frames.append(Shown(frame.pts * frame.time_base, planes))
        return frames

    return decode
