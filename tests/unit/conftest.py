"""Pictures to write, an independent way to read what was written, and a Triton that answers by script."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.files.picture import Colour, Picture
from tests.support.media import Shown
from tests.support.scripted_triton import ScriptedTriton, StartTriton, start


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


def _numbered(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """Return RGB [height, width, 3]: a texture that moves, under eight stripes that tell `number` in bits."""
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack(
        [
            128 + 70 * np.sin((columns + 3 * number) / 9),
            128 + 70 * np.cos((rows - 2 * number) / 11),
            128 + 50 * np.sin((rows + columns + number) / 7),
        ],
        axis=-1,
    ).astype(np.uint8)
    bits = (number >> (columns[0] * 8 // width)) & 1
    image[: height // 3] = np.where(bits, 235, 20)[None, :, None]
    return image


@pytest.fixture(scope="session")
def number_of() -> Callable[[NDArray[np.uint8]], int]:
    """Return a function that reads the number of a `clip` frame off its upright luma plane."""

    def read(luma: NDArray[np.uint8]) -> int:
        height, width = luma.shape
        columns = (np.arange(8) * width // 8) + width // 16
        return int(sum(1 << bit for bit, x in enumerate(columns) if luma[height // 6, x] > 128))

    return read


@pytest.fixture(scope="session")
def clip() -> Callable[..., bytes]:
    """Return a function that encodes frames which tell their number (up to 255).

    `pts`: of every frame, in units of `time_base`; default 0, 1, 2 ... at `rate`. Further arguments are
    attributes of the stream (pix_fmt, colour tags), `rotation` degrees counter-clockwise.
    """

    def make(
        frames: int = 30,
        size: tuple[int, int] = (128, 96),
        *,
        codec: str = "libx264",
        container: str = "mp4",
        rate: Fraction | int = 25,
        pts: list[int] | None = None,
        time_base: Fraction | None = None,
        options: dict[str, str] | None = None,
        rotation: float | None = None,
        **attributes: object,
    ) -> bytes:
        file = io.BytesIO()
        with av.open(file, "w", format=container) as output:
            stream = output.add_stream(codec, rate=rate, options=options)
            stream.width, stream.height = size
            stream.pix_fmt = str(attributes.pop("pix_fmt", "yuv420p"))
            for name, value in attributes.items():
                setattr(stream.codec_context, name, value)
            if time_base is not None:
                stream.codec_context.time_base = time_base
            if rotation is not None:
                stream.set_display_rotation(rotation)
            for number in range(frames):
                frame = av.VideoFrame.from_ndarray(_numbered(number, *size), format="rgb24")
                frame.pts = number if pts is None else pts[number]
                frame.time_base = time_base or 1 / Fraction(rate)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return file.getvalue()

    return make


@pytest.fixture
def start_triton() -> Iterator[StartTriton]:
    """Give a function that starts a ScriptedTriton on loopback: `(credentials=None, port=0)`."""
    started: list[ScriptedTriton] = []

    def begin(*arguments: Any, **named: Any) -> ScriptedTriton:
        started.append(start(*arguments, **named))
        return started[-1]

    yield begin
    for triton in started:
        triton.stop()
