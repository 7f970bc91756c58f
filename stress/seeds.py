"""Whole files that are mutated: a small face in many containers and codecs, a second of speech in many."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from demo import portrait
from lipserve import audio
from lipserve.contracts import SAMPLE_RATE
from lipserve_client._samples import SPEECH

SECONDS = 0.4
_SIZE = (128, 128)
_FULL_RANGE = {"strict": "unofficial"}  # which JPEG has, and FFmpeg asks for consent to
_VIDEOS: Sequence[tuple[str, str, Mapping[str, str]]] = (
    ("mp4", "libx264", {"bf": "2"}),
    ("mov", "mjpeg", _FULL_RANGE),
    ("matroska", "libx264", {}),
    ("webm", "libvpx-vp9", {"cpu-used": "8"}),
    ("ivf", "libvpx", {}),
    ("avi", "mpeg4", {"bf": "2"}),
    ("mpegts", "mpeg2video", {}),
    ("mpeg", "mpeg1video", {}),
    ("flv", "flv", {}),
    ("nut", "ffv1", {}),
    ("asf", "msmpeg4", {}),
    ("h264", "libx264", {}),
    ("gif", "gif", {}),
    ("apng", "apng", {}),
)
_PICTURES: Sequence[tuple[str, str, Mapping[str, str]]] = (
    ("image2", "png", {}),
    ("image2", "mjpeg", _FULL_RANGE),
    ("image2", "bmp", {}),
    ("image2", "tiff", {}),
    ("webp", "libwebp", {}),
)
_SPEECHES = (
    ("wav", "pcm_s16le", 16_000),
    ("wav", "pcm_f32le", 48_000),
    ("aiff", "pcm_s16be", 44_100),
    ("au", "pcm_s16be", 16_000),
    ("flac", "flac", 16_000),
    ("mp3", "libmp3lame", 44_100),
    ("adts", "aac", 44_100),
    ("ipod", "aac", 48_000),
    ("ogg", "libopus", 48_000),
    ("webm", "libopus", 48_000),
    ("mpegts", "mp2", 48_000),
    ("caf", "pcm_s16le", 16_000),
)


def good() -> tuple[bytes, bytes]:
    """Return a video and a speech that nothing is wrong with."""
    return videos()["mp4/libx264"], speeches()["wav/pcm_s16le/16000"]


@cache
def videos() -> Mapping[str, bytes]:
    """Return files by their container and codec, of those that FFmpeg has here."""
    frames = portrait.frames(SECONDS, _SIZE)
    made = {f"{form}/{codec}": _video(form, codec, options, frames) for form, codec, options in _VIDEOS}
    made |= {
        f"{form}/{codec}": _video(form, codec, options, frames[:1]) for form, codec, options in _PICTURES
    }
    return {name: data for name, data in made.items() if data}


@cache
def speeches() -> Mapping[str, bytes]:
    """Return files by their container, codec and rate, of those that FFmpeg has here."""
    samples = audio.load(SPEECH.read_bytes())[:SAMPLE_RATE]
    made = {f"{form}/{codec}/{rate}": _speech(form, codec, rate, samples) for form, codec, rate in _SPEECHES}
    return {name: data for name, data in made.items() if data}


def _video(
    form: str, codec: str, options: Mapping[str, str], frames: Sequence[NDArray[np.uint8]]
) -> bytes | None:
    """Return a file, or None where this FFmpeg has no such encoder."""
    file = io.BytesIO()
    try:
        encoder: Any = av.codec.Codec(codec, "w")
        # A picture's muxer wants a name and writes files of its own: its packets are the files.
        with av.open(file, "w", format="rawvideo" if form == "image2" else form) as container:
            stream: Any = container.add_stream(codec, rate=Fraction(25), options=dict(options))
            stream.width, stream.height = _SIZE
            wanted = [form.name for form in encoder.video_formats or ()]
            stream.pix_fmt = next((name for name in ("yuv420p", "yuvj420p") if name in wanted), wanted[0])
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError, IndexError):
        return None
    return file.getvalue()


def _speech(form: str, codec: str, rate: int, samples: NDArray[np.float32]) -> bytes | None:
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=form) as container:
            stream: Any = container.add_stream(codec, rate=rate)
            stream.layout = "mono"
            sound = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
            sound.sample_rate = SAMPLE_RATE
            resampler = av.AudioResampler(stream.format, "mono", rate, stream.frame_size or 1024)
            for frame in (*resampler.resample(sound), *resampler.resample(None)):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError):
        return None
    return file.getvalue()
