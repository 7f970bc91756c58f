"""The speech in the result: its own rate, its time, and no file left open."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray

from lipserve import audio
from lipserve.audio.reader import open_audio
from lipserve.errors import AudioError, OptionsError
from lipserve.files.picture import Colour, Picture
from lipserve.media.encode import VideoWriter
from tests.support.media import encode

from ..audio.loudness import lufs

MakePictures = Callable[..., list[Picture]]
Decode = Callable[[bytes], list[Any]]


def speech(seconds: float, rate: int, channels: int) -> NDArray[np.float32]:
    """Return [channels, n] of something like speech: a voiced tone and noise under syllables."""
    rng = np.random.default_rng(7)
    t = np.arange(round(seconds * rate)) / rate
    syllables = np.clip(np.sin(2 * np.pi * 2.3 * t + rng.uniform(0, 6)), 0, 1) ** 2
    voice = sum(np.sin(2 * np.pi * (110 + 8 * np.sin(3 * t)) * k * t) / k for k in range(1, 12))
    first = syllables * (0.15 * voice + 0.02 * rng.standard_normal(len(t)))
    return np.float32(np.stack([first * (1 - 0.2 * c) for c in range(channels)]))


LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def sound_file(samples: NDArray[np.float32], rate: int, codec: str, container_format: str) -> bytes:
    file = io.BytesIO()
    layout = LAYOUTS[len(samples)]
    with av.open(file, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def offset_and_correlation(a: NDArray[np.float32], b: NDArray[np.float32], rate: int) -> tuple[float, float]:
    """Return by how many seconds b is later than a, and how alike they are at that offset."""
    n = min(len(a), len(b))
    a, b = a[:n], b[:n]
    spectrum = np.fft.rfft(b, 2 * n) * np.conj(np.fft.rfft(a, 2 * n))
    cross = np.fft.irfft(spectrum)
    lag = int(np.argmax(cross))
    lag = lag if lag < n else lag - 2 * n
    a, b = a[max(0, -lag) : n - max(0, lag)], b[max(0, lag) : n - max(0, -lag)]
    return lag / rate, float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize(
    ("codec", "container_format", "rate", "channels", "result_rate"),
    [
        ("pcm_s16le", "wav", 16000, 1, 16000),
        ("pcm_s16le", "wav", 8000, 1, 8000),
        ("pcm_s24le", "wav", 96000, 2, 96000),
        ("pcm_f32le", "wav", 192000, 1, 96000),
        ("pcm_s16le", "wav", 37800, 1, 32000),
        ("pcm_s16le", "wav", 48000, 6, 48000),
        ("libmp3lame", "mp3", 44100, 2, 44100),
        ("aac", "mp4", 44100, 2, 44100),
        ("aac", "mpegts", 48000, 1, 48000),
        ("flac", "flac", 44100, 2, 44100),
        ("libopus", "webm", 48000, 1, 48000),
    ],
)
def test_the_speech_is_heard_at_its_own_rate_and_time(
    moving_pictures: MakePictures,
    codec: str,
    container_format: str,
    rate: int,
    channels: int,
    result_rate: int,
) -> None:
    source = sound_file(speech(3, rate, channels), rate, codec, container_format)
    result = encode(moving_pictures(55, 64, 48), audio=source)  # 2.2 s
    with av.open(io.BytesIO(result)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        track = container.streams.audio[0]
        assert (track.codec_context.name, track.rate) == ("aac", result_rate)
        assert track.layout.nb_channels == min(channels, 2)
        assert abs(float(track.duration * track.time_base) - 2.2) < 1e-3
        assert track.start_time == 0
        assert abs(container.duration / 1e6 - 2.2) < 0.002
    compare_rate = min(16000, rate)
    heard, driving = audio.load(result, compare_rate), audio.load(source, compare_rate)
    assert abs(len(heard) / compare_rate - 2.2) < 2048 / result_rate
    length = round(2.2 * compare_rate)
    offset, correlation = offset_and_correlation(driving[:length], heard[:length], compare_rate)
    assert abs(offset) < 0.001
    assert correlation >= 0.98


@pytest.mark.parametrize("name", ["hallo__1.wav", "whisper__jfk.flac", "LatentSync__demo1_audio.wav"])
def test_a_real_speech_is_the_driving_one(
    moving_pictures: MakePictures, shared_data: Callable[[str], Path], name: str
) -> None:
    source = shared_data(f"audio/{name}")
    heard = audio.load(encode(moving_pictures(100, 64, 48), audio=source))
    offset, correlation = offset_and_correlation(audio.load(source)[:64000], heard[:64000], 16000)
    assert abs(offset) < 0.001
    assert correlation >= 0.98


def sounding(result: bytes, rate: int) -> NDArray[np.float32]:
    """Return the sound of a result, [n, 2]."""
    with open_audio(result) as reader:
        return np.concatenate(list(reader.blocks(rate, 2)), axis=1).T


def test_many_channels_keep_their_loudness(moving_pictures: MakePictures) -> None:
    samples = np.zeros((6, 3 * 48000), np.float32)
    samples[2] = speech(3, 48000, 1)[0]  # the centre
    samples[:2] = 0.02 * np.random.default_rng(1).standard_normal((2, 3 * 48000))
    result = encode(moving_pictures(75, 64, 48), audio=sound_file(samples, 48000, "pcm_s16le", "wav"))
    assert abs(lufs(sounding(result, 48000), 48000, "stereo") - lufs(samples.T, 48000, "5.1")) < 1


def test_a_real_5_1_speech_keeps_its_loudness(
    moving_pictures: MakePictures, shared_data: Callable[[str], Path]
) -> None:
    source = shared_data("faults/center51.wav")
    with av.open(str(source)) as container:
        samples = np.concatenate([f.to_ndarray().reshape(-1, 6) for f in container.decode(audio=0)]) / 32768
    result = encode(moving_pictures(25, 64, 48), audio=source)
    heard, wanted = sounding(result, 48000), np.float32(samples)
    assert abs(lufs(heard, 48000, "stereo") - lufs(wanted, 48000, "5.1")) < 1


def test_samples_beyond_full_scale_are_clipped(moving_pictures: MakePictures) -> None:
    tone = np.float32(40 * np.sin(2 * np.pi * 200 * np.arange(16000) / 16000))
    heard = audio.load(encode(moving_pictures(25, 64, 48), audio=audio.wav(tone)))
    clipped = audio.load(audio.wav(tone))
    assert abs(20 * np.log10(np.std(heard[2000:14000]) / np.std(clipped[2000:14000]))) < 0.5


@pytest.mark.parametrize("level", [1e4, 1e10, 1e20, np.inf, np.nan])
def test_absurd_samples_are_refused_and_nothing_left(
    moving_pictures: MakePictures, tmp_path: Path, level: float
) -> None:
    source = audio.wav(np.float32([0.1] * 20_000 + [level]))

    def write() -> None:
        with VideoWriter(tmp_path / "a.mp4", 64, 48, Fraction(25), Colour(), audio=source) as writer:
            for picture in moving_pictures(60, 64, 48):
                writer.write(picture)

    with pytest.raises(AudioError, match="Render"):
        write()
    assert os.listdir(tmp_path) == []


def test_a_track_can_be_chosen(moving_pictures: MakePictures) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        streams = [container.add_stream("pcm_s16le", rate=rate, layout="mono") for rate in (8000, 16000)]
        for stream in streams:
            stream.disposition = Disposition.default if stream is streams[1] else Disposition(0)
        for stream in streams:
            block = av.AudioFrame.from_ndarray(speech(1, stream.rate, 1), "fltp", "mono")
            block.sample_rate, block.time_base, block.pts = stream.rate, Fraction(1, stream.rate), 0
            container.mux([*stream.encode(block), *stream.encode(None)])
    for asked, rate in ((None, 16000), (0, 8000), (1, 16000)):
        result = encode(moving_pictures(20, 64, 48), audio=file.getvalue(), audio_track=asked)
        with av.open(io.BytesIO(result)) as container:
            assert container.streams.audio[0].rate == rate
    with pytest.raises(OptionsError, match="2 sound tracks"):
        encode(moving_pictures(20, 64, 48), audio=file.getvalue(), audio_track=2)


def test_a_speech_that_ends_first_is_followed_by_silence(moving_pictures: MakePictures) -> None:
    """The sound lasts as long as the pictures: a player that follows the sound shows all of them."""
    result = encode(moving_pictures(100, 64, 48), audio=audio.wav(speech(1, 16000, 1)[0]))
    with av.open(io.BytesIO(result)) as container:
        assert container.streams.video[0].frames == 100
        assert container.streams.audio[0].duration == 64_000
    heard = audio.load(result)
    assert 64_000 <= len(heard) < 64_000 + 1024  # a whole frame of AAC
    assert np.abs(heard[:16_000]).max() > 0.1
    assert np.abs(heard[17_500:]).max() < 1e-3


def test_speech_that_starts_after_its_pictures_keeps_its_place(moving_pictures: MakePictures) -> None:
    """A file whose sound begins 0.4 s after its pictures drives the result 0.4 s late as well."""
    late = io.BytesIO()
    picture = moving_pictures(1, 64, 48)[0]
    with av.open(late, "w", format="matroska") as container:
        video = container.add_stream("mpeg4", rate=25, width=64, height=48)
        sound = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for i in range(50):
            frame = av.VideoFrame.from_ndarray(np.repeat(picture.y, 3).reshape(48, 64, 3), "rgb24")
            frame.pts = i
            container.mux(video.encode(frame))
        block = av.AudioFrame.from_ndarray(speech(1.5, 16000, 1), "fltp", "mono")
        block.sample_rate, block.time_base, block.pts = 16000, Fraction(1, 16000), 6400
        container.mux([*video.encode(None), *sound.encode(block), *sound.encode(None)])
    heard = audio.load(encode(moving_pictures(50, 64, 48), audio=late.getvalue()))
    offset, correlation = offset_and_correlation(speech(1.5, 16000, 1)[0], heard[:24000], 16000)
    assert abs(offset - 0.4) < 0.002
    assert correlation >= 0.98


def test_sound_and_pictures_are_interleaved(moving_pictures: MakePictures) -> None:
    result = encode(moving_pictures(300, 64, 48), audio=audio.wav(speech(12, 16000, 1)[0]))
    with av.open(io.BytesIO(result)) as container:
        packets = [
            (packet.pos, packet.stream.type, float(packet.dts * packet.time_base))
            for packet in container.demux()
            if packet.size
        ]
    latest = {"video": 0.0, "audio": 0.0}
    for _, kind, time in sorted(packets):
        latest[kind] = time
        assert abs(latest["video"] - latest["audio"]) < 0.5


def test_a_file_without_sound_is_refused_and_nothing_left(
    moving_pictures: MakePictures, tmp_path: Path
) -> None:
    silent = encode(moving_pictures(3, 64, 48))
    with pytest.raises(AudioError, match="audio stream"):
        VideoWriter(tmp_path / "a.mp4", 64, 48, Fraction(25), Colour(), audio=silent)
    assert os.listdir(tmp_path) == []


_FILES_LEFT_OPEN = """
import os, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from lipserve.media.encode import VideoWriter
from lipserve.files.picture import Colour, Picture

picture = Picture(np.zeros((48, 64), np.uint8), *np.zeros((2, 24, 32), np.uint8), Colour())
speech, path = map(Path, sys.argv[1:])
before = os.listdir("/proc/self/fd")
with VideoWriter(path, 64, 48, Fraction(25), Colour(), audio=speech) as writer:
    for _ in range(5):
        writer.write(picture)
    print(len(os.listdir("/proc/self/fd")) - len(before))
print(len(os.listdir("/proc/self/fd")) - len(before))
"""


def test_no_file_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(audio.wav(speech(3, 16000, 1)[0]))
    # In a process of its own: the threads of a test run open files too.
    line = [sys.executable, "-c", _FILES_LEFT_OPEN, str(path), str(tmp_path / "a.mp4")]
    said = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True).stdout
    during, after = map(int, said.split())
    assert during >= 1
    assert after == 0
