from __future__ import annotations

import io
import os
import resource
import struct
import time
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipserve import audio
from lipserve.audio.mel import slaney_filters
from lipserve.errors import AudioError, LimitError, StorageError

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


# Files to samples.


@given(st.integers(1, 5000), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
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
    samples = np.random.default_rng(channels).integers(-9000, 9000, (4000, channels), dtype=np.int16)
    loaded = audio.load(pcm(samples.tobytes(), channels, 16000))
    np.testing.assert_allclose(loaded, samples.mean(axis=1) / 32768, atol=1e-6)


def test_samples_are_clipped_to_one() -> None:
    np.testing.assert_array_equal(audio.load(audio.wav(np.float32([0, 5, -5]))), [0, 1, -1])


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


# Refusals.


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
    "header alone": pcm(HALF_A_SECOND, 1, 16000)[:30],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_speech_is_refused_promptly(name: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(AudioError) as refusal:
        audio.load(REFUSED[name])
    assert refusal.value.remedy
    with pytest.raises(AudioError):
        audio.spool(REFUSED[name], tmp_path)
    assert time.monotonic() - began < 2
    assert list(tmp_path.iterdir()) == []


def test_paths_that_are_no_files_are_refused_promptly(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").touch()
    began = time.monotonic()
    for path in ("none.wav", ".", "fifo", "empty"):
        with pytest.raises(AudioError, match="path"):
            audio.load(tmp_path / path)
    for address in ("http://127.0.0.1:9/a.wav", "pipe:0", "concat:a.wav|b.wav", "/dev/zero", "a\0b"):
        with pytest.raises(AudioError, match="path"):
            audio.load(address)
    assert time.monotonic() - began < 2


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
            assert time.monotonic() - began < 2


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
        with pytest.raises(LimitError, match="Cut it"):
            read()
    assert list(tmp_path.iterdir()) == []


# On disk.


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


def test_spool_holds_little(tmp_path: Path) -> None:
    source = tmp_path / "long.wav"
    source.write_bytes(pcm(np.random.default_rng(0).bytes(8000 * 120), 1, 8000, bits=8))  # two minutes
    tracemalloc.start()
    try:
        spooled = audio.spool(source, tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert abs(len(spooled) - 1_920_000) <= 2
    assert peak < 1_000_000


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageError, match="Free space"):
            audio.spool(audio.wav(noise(160_000)), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# Mel of Wav2Lip.


def test_the_wav2lip_filters_are_slaneys() -> None:
    filters = slaney_filters(800, 55, 7600)
    assert filters.shape == (80, 401)
    assert filters.sum() == pytest.approx(3.999498, abs=1e-6)
    assert filters.max() == pytest.approx(0.0268788, abs=1e-7)
    assert np.flatnonzero(filters[0]).tolist() == [3, 4, 5, 6]
    np.testing.assert_allclose(filters[0, 3:7], [0.00386959, 0.01934796, 0.02081245, 0.00533408], atol=1e-8)
    assert np.flatnonzero(filters[79])[[0, -1]].tolist() == [353, 379]


def test_the_wav2lip_mel_of_a_tone() -> None:
    t = np.arange(16000) / 16000
    mel = audio.mel_wav2lip(np.float32(0.5 * np.sin(2 * np.pi * 440 * t)))
    assert mel.shape == (80, 81)
    assert mel.dtype == np.float32
    assert mel.mean() == pytest.approx(-3.692076, abs=1e-4)
    assert mel.min() == -4
    assert mel.max() == pytest.approx(2.030162, abs=1e-4)
    assert np.unravel_index(mel.argmax(), mel.shape) == (10, 80)
    assert mel[10, 40] == pytest.approx(1.98976, abs=1e-4)
    np.testing.assert_allclose(mel[:5, 0], [-0.86118, -0.81891, -0.74708, -0.64823, -0.57529], atol=1e-4)


def test_the_wav2lip_mel_of_a_chirp() -> None:
    t = np.arange(32000) / 16000
    mel = audio.mel_wav2lip(np.float32(0.3 * np.sin(2 * np.pi * (100 * t + 975 * t * t))))
    assert mel.shape == (80, 161)
    assert mel.mean() == pytest.approx(-3.600202, abs=1e-4)
    assert mel.max() == pytest.approx(2.579911, abs=1e-4)
    assert np.unravel_index(mel.argmax(), mel.shape) == (62, 156)
    np.testing.assert_allclose(mel[[20, 30], 40], [-3.66619, -0.98500], atol=1e-4)


def test_the_wav2lip_mel_of_silence_is_the_floor() -> None:
    np.testing.assert_array_equal(audio.mel_wav2lip(np.zeros(16000, np.float32)), np.full((80, 81), -4))


@pytest.mark.parametrize("n", [0, 1, 5, 199, 200, 399, 400, 401, 402, 800, 3199])
def test_the_shortest_speeches_have_mels(n: int) -> None:
    samples = noise(n)
    mel = audio.mel_wav2lip(samples)
    assert mel.shape == (80, 1 + n // 200)
    assert np.isfinite(mel).all()
    whisper = audio.mel_whisper(samples)
    assert whisper.shape == (80, n // 160)
    assert np.isfinite(whisper).all()
    if 0 < n <= 400:  # followed by zeros, as documented
        padded = audio.mel_wav2lip(np.pad(samples, (0, 401 - n)))
        np.testing.assert_array_equal(mel, padded[:, : mel.shape[1]])


@pytest.mark.parametrize("hops", [2, 7, 255, 256, 257, 300])
def test_a_stretch_has_the_wav2lip_mel_of_the_whole(hops: int) -> None:
    """What lies 401 samples (pre-emphasis looks one back) inside a stretch does not know of its ends."""
    samples = noise(600 * 200 + 37)
    whole, stretch = audio.mel_wav2lip(samples), audio.mel_wav2lip(samples[hops * 200 :])
    np.testing.assert_array_equal(stretch[:, 3:], whole[:, hops + 3 :])


# Mel of Whisper.


def reference_whisper(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute Whisper's log-mel the slow way: explicit Fourier sums and an explicit filter for each bin."""

    def hertz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 15 + 27 * np.log(8) / np.log(6.4)
    edges = [hertz(top * k / 81) for k in range(82)]
    padded = np.pad(samples, 200, mode="reflect")
    k, t = np.meshgrid(np.arange(201), np.arange(400), indexing="ij")
    fourier = np.exp(-2j * np.pi * k * t / 400)
    window = np.sin(np.pi * np.arange(400) / 400) ** 2
    columns = len(samples) // 160
    power = np.stack(
        [np.abs(fourier @ (window * padded[c * 160 : c * 160 + 400])) ** 2 for c in range(columns)], axis=1
    )
    mel = np.zeros((80, columns))
    for band in range(80):
        low, centre, high = edges[band : band + 3]
        for b in range(201):
            f = b * 40.0
            weight = min((f - low) / (centre - low), (high - f) / (high - centre))
            mel[band] += max(weight, 0) * 2 / (high - low) * power[b]
    logs = np.log10(np.maximum(mel, 1e-10))
    return (np.maximum(logs, logs.max() - 8) + 4) / 4


@pytest.mark.parametrize("n", [201, 3200, 3333, 47_999])
def test_the_whisper_mel_equals_a_plain_computation(n: int) -> None:
    t = np.arange(n) / 16000
    samples = np.float32(0.4 * np.sin(2 * np.pi * (150 * t + 900 * t * t)) * np.sin(2 * np.pi * 2 * t) ** 2)
    samples += noise(n) * 1e-4
    mel = audio.mel_whisper(samples)
    assert mel.dtype == np.float32
    np.testing.assert_allclose(mel, reference_whisper(samples.astype(np.float64)), atol=2e-6)


def test_the_whisper_mel_of_silence() -> None:
    np.testing.assert_array_equal(audio.mel_whisper(np.zeros(1600, np.float32)), np.full((80, 10), -1.5))


@pytest.mark.parametrize("first", [3, 256, 700])
def test_a_stretch_has_the_whisper_mel_of_the_whole(first: int) -> None:
    samples = noise(1000 * 160) * np.linspace(1e-5, 1, 160_000, dtype=np.float32) ** 4
    whole = audio.mel_whisper(samples)
    peak = audio.whisper_peak(samples)
    np.testing.assert_array_equal(audio.mel_whisper(samples, peak), whole)
    stretch = samples[(first - 2) * 160 : (first + 102) * 160]
    assert audio.whisper_peak(stretch) < peak - 0.1
    np.testing.assert_array_equal(audio.mel_whisper(stretch, peak)[:, 2:102], whole[:, first : first + 100])


# Loudness.


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
