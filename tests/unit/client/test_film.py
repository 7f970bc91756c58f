"""Stretches of a video: its header is looked at first, which they do not carry; and they bring its sound."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.errors import LimitError
from lipserve.media import decode
from lipserve.quality import own_sound
from lipserve.segments import Span
from lipserve_client._film import Film


def video(declared: int) -> bytes:
    """Return 75 frames of 300 x 48 pixels in a Matroska whose header declares another width."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25, width=300, height=48)
        for number in range(75):
            frame = av.VideoFrame.from_ndarray(np.full((48, 300, 3), 3 * number, np.uint8), "rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = file.getvalue()
    at = data.index(b"\xb0\x82\x01\x2c") + 2
    return data[:at] + declared.to_bytes(2, "big") + data[at + 2 :]


def test_a_stretch_of_a_video_that_is_declared_too_large_is_not_cut_out() -> None:
    film = Film(video(65_535))
    assert film.info.width == 300  # of the pictures: FFmpeg has forgotten the other
    for _ in range(2):
        for cut in (film.cut, film.piece):
            with pytest.raises(LimitError, match="65535x48"):
                cut(Span(40, 5))


def test_a_stretch_of_a_video_that_declares_its_width_is_cut_out() -> None:
    film = Film(video(300))
    part = film.piece(Span(40, 5))
    assert part is not None
    assert film.cut(Span(40, 5)) == part


def sounding(form: str, codec: str, offset: int = 0) -> tuple[bytes, NDArray[np.float32]]:
    """Return 400 frames with 16 s of noise whose loudness rises and falls, and the noise, 16 kHz.

    Args:
        offset: frames of which both are stamped late.
    """
    rng = np.random.default_rng(4)
    loudness = 0.05 + np.repeat(rng.uniform(0, 0.25, 160), 1600)
    noise = (loudness * rng.standard_normal(256_000)).astype(np.float32)
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream("mpeg4", rate=25, width=64, height=48, options={"g": "25"})
        sound = container.add_stream(codec, rate=16_000, layout="mono")
        for number in range(400):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number % 250, np.uint8), "rgb24")
            frame.pts = number + offset
            container.mux(stream.encode(frame))
            part = noise[number * 640 : (number + 1) * 640]
            heard = av.AudioFrame.from_ndarray(part[None], "fltp", "mono")
            heard.sample_rate, heard.time_base = 16_000, Fraction(1, 16_000)
            heard.pts = (number + offset) * 640
            for block in resampled(heard, sound):
                container.mux(sound.encode(block))
        container.mux(stream.encode(None))
        container.mux(sound.encode(None))
    return file.getvalue(), noise


def resampled(frame: av.AudioFrame, stream: Any) -> list[av.AudioFrame]:
    wanted = stream.codec_context.format.name
    return [frame] if wanted == "fltp" else av.AudioResampler(wanted, "mono", 16_000).resample(frame)


@pytest.mark.parametrize(
    ("form", "codec", "offset"),
    [
        ("mp4", "aac", 0),
        ("matroska", "pcm_s16le", 0),
        ("matroska", "aac", 50),
        ("mpegts", "mp2", 0),
        ("mov", "aac", 25),
        ("avi", "pcm_s16le", 0),
    ],
)
def test_a_stretch_brings_the_sound_of_its_frames(form: str, codec: str, offset: int) -> None:
    data, noise = sounding(form, codec, offset)
    film = Film(data)
    for first in (0, 210, 330):
        heard = Span(first, 60)
        stretch = film.cut(Span(max(0, first - 32), 100), heard)
        found = own_sound.sound(stretch, film.info, heard, True)
        wanted = noise[first * 640 : (first + 60) * 640]
        assert len(found) == pytest.approx(len(wanted), abs=1)
        spectrum = np.fft.rfft(found, 131_072) * np.conj(np.fft.rfft(wanted, 131_072))
        lag = int(np.argmax(np.fft.irfft(spectrum)))
        assert min(lag, 131_072 - lag) <= 16 * 25  # 25 ms: some containers keep an encoder's delay
        assert float(np.corrcoef(np.abs(found[:38_000]), np.abs(wanted[:38_000]))[0, 1]) > 0.2
        pictures = list(decode.read(stretch, film.info, first, 40))
        whole = list(decode.read(data, film.info, first, 40))
        assert all(np.array_equal(a.y, b.y) for a, b in zip(pictures, whole, strict=True))
    assert len(film.cut(Span(210, 60))) < len(film.cut(Span(210, 60), Span(210, 60))) - 60_000


def test_a_video_without_sound_brings_none() -> None:
    film = Film(video(300))
    assert film.cut(Span(40, 5), Span(40, 5)) == film.cut(Span(40, 5))
