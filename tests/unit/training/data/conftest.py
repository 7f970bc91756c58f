"""Videos with sound, written with PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE
from lipserve.files.picture import Colour, VideoInfo
from lipserve_training.data.videos import Video

Film = Callable[..., Path]


@pytest.fixture(scope="session")
def film() -> Film:
    """Return a function that writes RGB pictures [H, W, 3] and samples at 16 kHz as Matroska.

    `late`: milliseconds that the first picture comes after the first sample.
    """

    def write(
        path: Path,
        pictures: Iterable[NDArray[np.uint8]],
        samples: Samples | None = None,
        fps: int = 25,
        late: int = 0,
    ) -> Path:
        pictures = list(pictures)
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w", format="matroska") as file:
            video = file.add_stream("libx264", fps, options={"preset": "ultrafast", "crf": "8"})
            video.height, video.width = pictures[0].shape[:2]
            video.pix_fmt = "yuv420p"
            video.codec_context.time_base = Fraction(1, 1000)
            if samples is not None:
                sound = file.add_stream("pcm_s16le", SAMPLE_RATE, layout="mono")
                frame = av.AudioFrame.from_ndarray(_integers(samples), "s16", "mono")
                frame.sample_rate, frame.pts = SAMPLE_RATE, 0
                file.mux(sound.encode(frame))
            for number, picture in enumerate(pictures):
                shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
                shown.pts, shown.time_base = late + round(1000 * number / fps), Fraction(1, 1000)
                file.mux(video.encode(shown))
            file.mux(video.encode(None))
        return path

    return write


def _integers(samples: Samples) -> NDArray[np.int16]:
    return np.round(samples * 32767).astype(np.int16)[None]


@pytest.fixture
def info() -> Callable[..., VideoInfo]:
    """Return a function that tells of a video that does not exist."""

    def make(fps: Fraction, frames: int) -> VideoInfo:
        return VideoInfo(
            width=640, height=480, pixel_aspect=Fraction(1), fps=fps, start=Fraction(0), frames=frames,
            variable=False, still=False, rotation=0, hdr=None, colour=Colour(), codec="h264",
            pixel_format="yuv420p", has_audio=True,
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def video() -> Callable[[Path], Video]:
    """Return a function that makes a file the only video of somebody called ann."""
    return lambda path: Video(path, path.name, "ann")
