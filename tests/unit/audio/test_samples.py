from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipserve import audio
from lipserve.errors import AudioError, LimitError, OptionsError, StorageError

Samples = NDArray[np.float32]


def noise(n: int, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)


def tones(seconds: float, rate: int) -> Samples:
    """Return stereo [2, n]: a different, modulated tone on each channel."""
    t = np.arange(round(seconds * rate)) / rate
    left = 0.4 * np.sin(2 * np.pi * 300 * t) * np.sin(2 * np.pi * 1.3 * t)
    right = 0.3 * np.sin(2 * np.pi * 500 * t + 1)
    return np.float32(np.stack([left, right]))


def sound_file(samples: Samples, rate: int, codec: str, container_format: str, layout: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        options = {"aac_coder": "fast"} if codec == "aac" else {}
        stream = container.add_stream(codec, rate=rate, layout=layout, options=options, bit_rate=256_000)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def pcm(
    data: bytes, channels: int, rate: int, bits: int = 16, code: int = 1, size: int | None = None
) -> bytes:
    """Return a WAV file whose header says what it is told to."""
    step = channels * bits // 8
    form = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, code, channels, rate, min(rate * step, 2**32 - 1), step & 0xFFFF, bits
    )
    tail = struct.pack("<4sI", b"data", len(data) if size is None else size) + data
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVE" + form + tail


@given(st.integers(1, 5000), st.integers(0, 3))
@settings(max_examples=25)
def test_a_float_wav_comes_back_bit_for_bit(n: int, seed: int) -> None:
    samples = noise(n, seed)
    loaded = audio.load(audio.wav(samples))
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, samples)


def test_wav_takes_any_stretch() -> None:
    samples = noise(1000)
    np.testing.assert_array_equal(audio.load(audio.wav(samples[::3])), samples[::3])
    np.testing.assert_array_equal(audio.load(audio.wav(samples, 8000), 8000), samples)


@pytest.mark.parametrize(
    ("codec", "container_format", "rate", "tolerance"),
    [
        ("pcm_s16le", "wav", 16000, 1e-4),
        ("pcm_s16le", "wav", 44100, 0.01),
        ("pcm_s24le", "wav", 96000, 0.01),
        ("pcm_u8", "wav", 8000, 0.02),
        ("pcm_alaw", "wav", 8000, 0.03),
        ("pcm_f64le", "wav", 22050, 0.01),
        ("flac", "flac", 48000, 0.01),
        ("libmp3lame", "mp3", 44100, 0.03),
        ("aac", "mp4", 44100, 0.03),
        ("libopus", "webm", 48000, 0.03),
        ("libopus", "ogg", 48000, 0.03),
    ],
)
def test_any_codec_gives_the_mean_of_its_channels(
    codec: str, container_format: str, rate: int, tolerance: float
) -> None:
    expected = tones(2, 16000).mean(axis=0)
    source = sound_file(tones(2, rate), rate, codec, container_format, "stereo")
    loaded = audio.load(source)
    assert 0 <= len(loaded) - 32000 < 1100  # AAC says nothing of the padding of its last frame
    inner = slice(2000, 30000)
    np.testing.assert_allclose(loaded[inner], expected[inner], atol=tolerance)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_length_and_time(rate: int) -> None:
    source = audio.wav(tones(3, rate)[1], rate)
    loaded = audio.load(source)
    assert abs(len(loaded) - 48000) <= 2
    expected = tones(3, 16000)[1]
    assert np.abs(loaded[200:47800] - expected[200:47800]).max() < 0.002
    assert abs(len(audio.load(source, 24000)) - 72000) <= 3


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 12])
def test_channels_without_a_layout_are_averaged(channels: int) -> None:
    """More than two are as loud as the loudest of them."""
    samples = np.random.default_rng(channels).integers(-9000, 9000, (1600, channels), dtype=np.int16)
    loaded = audio.load(pcm(samples.tobytes(), channels, 16000))
    mean = samples.mean(axis=1) / 32768
    if channels > 2:
        mean *= np.sqrt(np.square(samples / 32768).mean(axis=0).max() / np.square(mean).mean())
    np.testing.assert_allclose(loaded, mean, atol=2e-6)


def test_samples_are_clipped_to_one() -> None:
    np.testing.assert_array_equal(audio.load(audio.wav(np.float32([0, 5, -5, 999]))), [0, 1, -1, 1])


TRACKS = (0.1, 0.2, 0.3)  # what each plays, a constant


def tracks(container_format: str, default: int | None) -> bytes:
    """Return a file of three sound tracks, of which it flags one as the default."""
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        streams = [container.add_stream("flac", rate=16000, layout="mono") for _ in TRACKS]
        for number, stream in enumerate(streams):
            stream.disposition = Disposition.default if number == default else Disposition(0)
        for stream, level in zip(streams, TRACKS, strict=True):
            block = av.AudioFrame.from_ndarray(np.full((1, 8000), level * 32768, np.int16), "s16", "mono")
            block.sample_rate, block.time_base, block.pts = 16000, Fraction(1, 16000), 0
            container.mux([*stream.encode(block), *stream.encode(None)])
    return file.getvalue()


@pytest.mark.parametrize("container_format", ["matroska", "mp4"])
@pytest.mark.parametrize("default", [0, 1, 2])
def test_the_track_that_the_file_flags_is_the_speech_unless_another_is_asked_for(
    container_format: str, default: int, tmp_path: Path
) -> None:
    source = tracks(container_format, default)
    assert audio.load(source).mean() == pytest.approx(TRACKS[default], abs=1e-3)
    for number, level in enumerate(TRACKS):
        assert audio.load(source, track=number).mean() == pytest.approx(level, abs=1e-3)
        assert audio.spool(source, tmp_path, track=number).mean() == pytest.approx(level, abs=1e-3)
    with pytest.raises(OptionsError, match="3 sound tracks"):
        audio.load(source, track=3)


def test_a_file_that_flags_no_track_is_heard_from_its_first() -> None:
    assert audio.load(tracks("matroska", None)).mean() == pytest.approx(TRACKS[0], abs=1e-3)
    with pytest.raises(OptionsError, match="one sound track"):
        audio.load(audio.wav(noise(100)), track=1)


def test_the_flagged_track_of_a_real_file(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("faults/second_default.mka")
    np.testing.assert_array_equal(audio.load(path), audio.load(path, track=1))
    assert np.std(audio.load(path)) > 1.5 * np.std(audio.load(path, track=0))  # a tone


def test_a_real_file_of_absurd_samples_is_refused(shared_data: Callable[[str], Path]) -> None:
    with pytest.raises(AudioError, match=r"samples of 1e\+20"):
        audio.load(shared_data("faults/float_1e20.wav"))


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("audio/hallo__1.wav", 7.5),
        ("audio/whisper__jfk.flac", 11.0),
        ("audio/SadTalker__chinese_poem1.wav", 5.472),
        ("video/LipNet__bbaf2n.mpg", 3.0),
        ("video/video-retalking__2.mp4", 5.0),
        ("video/Syncnet_FCN__example.avi", 12.7),
    ],
)
def test_real_files(shared_data: Callable[[str], Path], name: str, seconds: float) -> None:
    path = shared_data(name)
    loaded = audio.load(path)
    assert abs(len(loaded) / 16000 - seconds) < 0.2
    assert 0.01 < np.abs(loaded).max() <= 1
    np.testing.assert_array_equal(audio.load(path.read_bytes()), loaded)


def test_holes_in_the_timestamps_are_silence() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for k in range(40):  # 100 ms each; those of 1.0 .. 1.5 s are lost
            block = av.AudioFrame.from_ndarray(np.full((1, 1600), 0.25, np.float32), "fltp", "mono")
            block.sample_rate, block.time_base, block.pts = 16000, Fraction(1, 16000), 1600 * k
            packets = stream.encode(block)
            if not 10 <= k < 15:
                container.mux(packets)
        container.mux(stream.encode(None))
    loaded = audio.load(file.getvalue())
    assert len(loaded) == 64000
    assert np.all(loaded[16000:24000] == 0)
    assert np.all(np.abs(np.delete(loaded, np.s_[16000:24000]) - 0.25) < 1e-4)


@pytest.mark.parametrize(("codec", "kind"), [("libmp3lame", "mp3"), ("flac", "flac"), ("pcm_s16le", "wav")])
def test_of_a_truncated_file_what_is_there_is_used(codec: str, kind: str) -> None:
    source = sound_file(noise(4 * 44100)[None] * 0.3, 44100, codec, kind, "mono")
    loaded = audio.load(source[: len(source) // 2])
    assert 0.4 * 64000 < len(loaded) < 0.6 * 64000


def silent_video() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25, width=64, height=48)
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def png() -> bytes:
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 8, 8, "rgb24", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8), "rgb24")
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


HALF_A_SECOND = (noise(8000) * 9000).astype("<i2").tobytes()

REFUSED = {
    "empty": b"",
    "one byte": b"x",
    "text": b"This is no speech.\n" * 500,
    "zeros": bytes(100_000),
    "random": np.random.default_rng(3).bytes(100_000),
    "picture": png(),
    "silent video": silent_video(),
    "no samples": pcm(b"", 1, 16000),
    "no rate": pcm(HALF_A_SECOND, 1, 0),
    "absurd rate": pcm(HALF_A_SECOND, 1, 2**31 - 1),
    "no channels": pcm(HALF_A_SECOND, 0, 16000),
    "absurd channels": pcm(HALF_A_SECOND, 65535, 16000),
    "unknown codec": pcm(HALF_A_SECOND, 1, 16000, code=0x1234),
    "not a number": audio.wav(np.float32([0.1, np.nan, 0.2])),
    "infinite": audio.wav(np.float32([0.1, np.inf, 0.2])),
    "absurd": audio.wav(np.float32([0.1, 1e10, 0.2])),
    "absurd below": audio.wav(np.float32([0.1, -2000, 0.2])),
    "absurd at the end": audio.wav(np.float32([0.1] * 50_000 + [3e38])),
    "absurd for 32 bits": sound_file(noise(1000)[None] * 3e38, 16000, "pcm_f64le", "wav", "mono"),
    "header alone": pcm(HALF_A_SECOND, 1, 16000)[:30],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_speech_is_refused_at_little_cost(name: str, tmp_path: Path) -> None:
    began = time.process_time()
    with pytest.raises(AudioError) as refusal:
        audio.load(REFUSED[name])
    assert refusal.value.remedy
    with pytest.raises(AudioError):
        audio.spool(REFUSED[name], tmp_path)
    assert time.process_time() - began < 2
    assert list(tmp_path.iterdir()) == []


def test_paths_that_are_no_files_are_refused_without_reading(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").touch()
    began = time.monotonic()
    for path in ("none.wav", ".", "fifo", "empty"):
        with pytest.raises(AudioError, match="path"):
            audio.load(tmp_path / path)
    for address in ("http://127.0.0.1:9/a.wav", "pipe:0", "concat:a.wav|b.wav", "/dev/zero", "a\0b"):
        with pytest.raises(AudioError, match="path"):
            audio.load(address)
    assert time.monotonic() - began < 15  # what reads a pipe or a device reads for ever


def test_a_file_cannot_name_another(tmp_path: Path) -> None:
    """Playlists and session descriptions that would make FFmpeg open files and sockets."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(audio.wav(noise(16000)))
    texts = {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "live.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret.name}\n",
        "concat": f"ffconcat version 1.0\nfile {secret.name}\n",
        "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        "m=audio 5004 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n",
        "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="audio/wav"><Representation id="1" '
        f'bandwidth="1"><BaseURL>file://{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    }
    for name, text in texts.items():
        path = tmp_path / f"list.{name}"
        path.write_text(text)
        for source in (path, text.encode()):
            began = time.monotonic()
            with pytest.raises(AudioError):
                audio.load(source)
            assert time.monotonic() - began < 15  # FFmpeg waits twenty seconds and more for what they name


def test_a_name_with_a_pattern_is_only_a_name(tmp_path: Path) -> None:
    path = tmp_path / "speech%03d.wav"
    path.write_bytes(audio.wav(noise(100)))
    assert len(audio.load(path)) == 100


def test_too_long_a_speech_is_refused(tmp_path: Path) -> None:
    samples = noise(3 * 16000)
    assert len(audio.load(audio.wav(samples), max_seconds=3)) == 48000
    for read in (
        lambda: audio.load(audio.wav(samples), max_seconds=2.9),
        lambda: audio.spool(audio.wav(samples), tmp_path, max_seconds=2.9),
        # A stream that does not know its own length.
        lambda: audio.load(pcm(HALF_A_SECOND, 1, 16000, size=0xFFFFFFFF), max_seconds=0.4),
        lambda: audio.load(pcm(2 * HALF_A_SECOND, 1, 1)),
    ):
        with pytest.raises(LimitError, match="Cut the speech"):
            read()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("codec", "kind", "rate"), [("libmp3lame", "mp3", 44100), ("pcm_s16le", "wav", 16000)]
)
def test_spool_gives_what_load_gives(codec: str, kind: str, rate: int, tmp_path: Path) -> None:
    source = sound_file(tones(3, rate), rate, codec, kind, "stereo")
    spooled = audio.spool(source, tmp_path)
    assert isinstance(spooled, np.memmap)
    assert spooled.dtype == np.float32
    np.testing.assert_array_equal(spooled, audio.load(source))
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(audio.mel_wav2lip(spooled), audio.mel_wav2lip(audio.load(source)))


_PEAK_OF_SPOOL = """
import sys, tracemalloc
from pathlib import Path
from lipserve import audio

tracemalloc.start()
spooled = audio.spool(Path(sys.argv[1]), Path(sys.argv[2]))
print(len(spooled), tracemalloc.get_traced_memory()[1])
"""


def test_spool_holds_little(tmp_path: Path) -> None:
    source = tmp_path / "long.wav"
    source.write_bytes(pcm(np.random.default_rng(0).bytes(8000 * 120), 1, 8000, bits=8))  # two minutes
    # In a process of its own: the threads of a test run allocate too.
    line = [sys.executable, "-c", _PEAK_OF_SPOOL, str(source), str(tmp_path)]
    said = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True).stdout
    length, peak = map(int, said.split())
    assert abs(length - 1_920_000) <= 2
    assert peak < 4_000_000  # of 7.7 MB


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageError, match="Free space"):
            audio.spool(audio.wav(noise(160_000)), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(60)])
def test_the_envelope_is_the_rms_of_each_frame(fps: Fraction) -> None:
    samples = noise(16000) * np.linspace(0, 1, 16000, dtype=np.float32)
    frames = 80
    loudness = audio.envelope(samples, fps, frames)
    assert loudness.shape == (frames,)
    assert loudness.dtype == np.float32
    for i in range(frames):
        heard = samples[int(i * 16000 / fps) : int((i + 1) * 16000 / fps)].astype(np.float64)
        assert loudness[i] == pytest.approx(np.sqrt(np.mean(heard**2)) if heard.size else 0, rel=1e-5)


def test_the_envelope_of_nothing_is_zero() -> None:
    assert audio.envelope(np.zeros(0, np.float32), Fraction(25), 3).tolist() == [0, 0, 0]
    assert audio.envelope(noise(100), Fraction(25), 0).shape == (0,)
