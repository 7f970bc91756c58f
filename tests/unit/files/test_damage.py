"""Files that are cut short, or damaged, are told so, and whole ones are not."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipserve import audio
from lipserve.errors import VideoError
from lipserve.media.decode import read
from lipserve.media.probe import probe

Clip = Callable[..., bytes]

VIDEOS = {
    "matroska": ("libx264", {"bf": "2"}),
    "webm": ("libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
    "mpegts": ("libx264", {"bf": "2"}),
    "vob": ("mpeg2video", {"bf": "2"}),
    "flv": ("libx264", {"bf": "2"}),
    "nut": ("libx264", {"bf": "2"}),
    "avi": ("mpeg4", {"bf": "2"}),
    "ivf": ("libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
    "ogg": ("libvpx", {"cpu-used": "8", "deadline": "realtime"}),
    "asf": ("wmv2", {}),
    "gif": ("gif", {}),
    "mp4": ("libx264", {"bf": "2"}),
    "fragmented": ("libx264", {"bf": "2"}),
}
IMAGES = {"png": "rgb24", "mjpeg": "yuvj420p", "bmp": "bgr24"}


def _video(clip: Clip, container: str) -> bytes:
    codec, options = VIDEOS[container]
    options = {"g": "10", **options}
    if container == "gif":
        return clip(40, codec=codec, container=container, pix_fmt="rgb8")
    if container in ("mp4", "fragmented"):
        data = clip(100, container="matroska", codec=codec, options=options)
        return remuxed(data, "faststart" if container == "mp4" else "frag_keyframe+empty_moov")
    return clip(100, codec=codec, container=container, options=options)


def remuxed(data: bytes, flags: str) -> bytes:
    """Return the same packets in an MP4; FFmpeg moves its index only in a file that it knows by name."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with (
            av.open(io.BytesIO(data)) as source,
            av.open(file.name, "w", container_options={"movflags": flags}) as output,
        ):
            (own,) = source.streams
            stream = output.add_stream_from_template(own)
            for packet in source.demux(own):
                if packet.pts is not None:
                    packet.stream = stream
                    output.mux(packet)
        return Path(file.name).read_bytes()


def _told(data: bytes) -> str:
    """Return all that is said of a video, by its index and by its decoder."""
    info = probe(data)
    faults: list[str] = []
    for _ in read(data, info, threads=1, faults=faults):
        pass
    return " ".join([*info.warnings, *faults])


@pytest.mark.parametrize("container", VIDEOS)
def test_a_video_that_is_cut_anywhere_is_told_so(clip: Clip, container: str) -> None:
    data = _video(clip, container)
    assert _told(data) == ""
    rng = np.random.default_rng(3)
    shares = [0.5, 0.75, 0.97, *rng.uniform(0.3, 0.95, 5)]
    silent = [share for share in shares if not _told(data[: int(share * len(data))])]
    assert silent == []


@pytest.mark.parametrize("codec", IMAGES)
def test_an_image_that_is_cut_is_told_so_or_refused(clip: Clip, codec: str) -> None:
    data = clip(1, codec=codec, container="image2pipe", pix_fmt=IMAGES[codec])
    assert _told(data) == ""
    try:
        assert _told(data[: len(data) * 3 // 4]) != ""
    except VideoError:
        assert codec != "mjpeg"  # whose upper part is shown


@pytest.mark.parametrize("container", ["ogg", "matroska"])
def test_a_checksum_that_does_not_hold_is_told(clip: Clip, container: str) -> None:
    data = _video(clip, container)
    for share in (0.2, 0.5, 0.8):
        damaged = bytearray(data)
        damaged[int(share * len(data))] ^= 1
        assert "parts of it are missing" in _told(bytes(damaged))


def test_a_gif_from_which_a_part_is_missing_is_told_so(clip: Clip) -> None:
    data = _video(clip, "gif")
    at = len(data) // 2
    told = [_told(data[:at] + data[at + cut :]) for cut in (1, 100, 1000)]
    assert all("cut short or damaged" in text for text in told)


@pytest.mark.parametrize("container", ["matroska", "mpegts", "avi", "mp4", "vob", "flv", "ogg"])
def test_a_hole_in_a_video_is_told(clip: Clip, container: str) -> None:
    data = _video(clip, container)
    rng = np.random.default_rng(5)
    silent = []
    for share in (0.4, 0.55, 0.7, 0.85):
        at = int(share * len(data))
        damaged = data[:at] + rng.bytes(1500) + data[at + 1500 :]
        if not _told(damaged):
            silent.append(share)
    assert silent == []


def _write(codec: str, container: str) -> bytes:
    """Return four seconds of a tone with noise."""
    rate = 48_000 if codec == "libopus" else 44_100
    noise = np.random.default_rng(0).normal(0, 0.05, 4 * rate)
    samples = (0.3 * np.sin(np.arange(4 * rate) * 0.05) + noise).astype(np.float32)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(stream.format, "mono", rate, stream.frame_size or 4096)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()


SOUNDS = [
    ("pcm_s16le", "wav"),
    ("pcm_s16be", "aiff"),
    ("flac", "flac"),
    ("libmp3lame", "mp3"),
    ("flac", "ogg"),
    ("libopus", "ogg"),
    ("libopus", "webm"),
    ("aac", "mp4"),
    ("aac", "matroska"),
    ("pcm_s16be", "caf"),
    ("pcm_s16be", "au"),
    ("pcm_s16le", "w64"),
    ("wavpack", "wv"),
    ("aac", "adts"),
    ("mp2", "mpegts"),
]


@pytest.mark.parametrize(("codec", "container"), SOUNDS)
def test_a_speech_that_is_cut_is_told_so(codec: str, container: str) -> None:
    data = _write(codec, container)
    if container == "mp4":
        data = remuxed(data, "faststart")
    faults: list[str] = []
    whole = audio.load(data, faults=faults)
    assert len(whole) == pytest.approx(4 * 16_000, rel=0.03)
    assert faults == []
    assert audio.warnings(faults) == []
    for share in (0.45, 0.613, 0.9):
        found: list[str] = []
        part = audio.load(data[: int(share * len(data))], faults=found)
        assert len(part) < len(whole)
        assert found, share
        assert "cut short or damaged" in audio.warnings(found)[0]


def test_a_file_that_was_written_live_raises_no_alarm() -> None:
    data = bytearray(_write("pcm_s16le", "wav"))
    at = data.index(b"data")
    data[4:8] = data[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    faults: list[str] = []
    audio.load(bytes(data), faults=faults)
    assert faults == []


def test_whole_files_of_the_world_raise_no_alarm(shared_data: Callable[[str], Path]) -> None:
    for name in ("h264_whole.avi", "vp9_whole.ivf"):
        assert _told(shared_data(f"faults/{name}").read_bytes()) == ""
