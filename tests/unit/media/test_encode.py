from __future__ import annotations

import io
import itertools
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import audio
from lipserve.errors import AudioError, InputError, InternalError, StorageError
from lipserve.media.encode import VideoWriter, encoded_size
from lipserve.media.picture import Colour, Picture, PrimariesTag, TransferTag

MakePictures = Callable[..., list[Picture]]
Decode = Callable[[bytes], list[Any]]


def encode(pictures: list[Picture], fps: Fraction = Fraction(25), **options: Any) -> bytes:
    height, width = pictures[0].y.shape
    colour = options.pop("colour", Colour())
    file = io.BytesIO()
    with VideoWriter(file, width, height, fps, colour, **options) as writer:
        for picture in pictures:
            writer.write(picture)
    return file.getvalue()


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of the boxes of an MP4, those of the sample description as well."""
    within = {"moov": 0, "trak": 0, "mdia": 0, "minf": 0, "stbl": 0, "edts": 0, "stsd": 8, "avc1": 78}
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, name = struct.unpack(">I4s", data[start : start + 8])
        yield name.decode("latin-1"), data[start + 8 : start + size]
        if name.decode("latin-1") in within:
            yield from boxes(data, start + 8 + within[name.decode()], start + size)
        start += size


@pytest.mark.parametrize(
    ("width", "height"), [(64, 48), (33, 17), (64, 17), (33, 48), (1, 1), (2, 2), (511, 389), (854, 480)]
)
def test_the_planes_reach_the_encoder_bit_exact(
    moving_pictures: MakePictures, shown: Decode, width: int, height: int
) -> None:
    pictures = moving_pictures(5, width, height)
    assert pictures[0].y.strides[0] > width
    frames = shown(encode(pictures, crf=0))
    assert len(frames) == 5
    right, below = width % 2, height % 2
    assert frames[0].planes[0].shape == encoded_size(width, height)[::-1]
    for picture, frame in zip(pictures, frames, strict=True):
        np.testing.assert_array_equal(frame.planes[0], np.pad(picture.y, ((0, below), (0, right)), "edge"))
        np.testing.assert_array_equal(frame.planes[1], picture.u)
        np.testing.assert_array_equal(frame.planes[2], picture.v)


@pytest.mark.parametrize(
    "fps", ["25", "30000/1001", "24000/1001", "60", "60000/1001", "120", "1", "15/2", "2397/100"]
)
def test_frame_i_is_shown_at_i_over_fps(moving_pictures: MakePictures, shown: Decode, fps: str) -> None:
    data = encode(moving_pictures(60, 64, 48), Fraction(fps))
    assert [frame.time for frame in shown(data)] == [i / Fraction(fps) for i in range(60)]
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(fps)
        assert stream.duration * stream.time_base == 60 / Fraction(fps)
        packets = [packet for packet in container.demux(stream) if packet.size]
    assert packets[0].is_keyframe
    assert packets[0].dts < 0  # there are B frames
    assert all(a.dts < b.dts for a, b in itertools.pairwise(packets))


def test_one_picture_is_a_video(moving_pictures: MakePictures, shown: Decode) -> None:
    data = encode(moving_pictures(1, 64, 48), Fraction(30000, 1001))
    assert len(shown(data)) == 1
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == Fraction(1001, 30000)


def test_the_index_precedes_the_media(moving_pictures: MakePictures) -> None:
    names = [name for name, _ in boxes(encode(moving_pictures(30, 64, 48)))]
    assert names.index("moov") < names.index("mdat")


@pytest.mark.parametrize(
    ("colour", "codes"),
    [
        (Colour(), (1, 1, 1, 1)),
        (Colour("bt601", False, "smpte170m", "smpte170m"), (6, 6, 6, 1)),
        (Colour("bt601", False, "bt470bg", "bt709"), (5, 1, 5, 1)),
        (Colour("bt601", True, "bt470bg", "gamma28"), (5, 5, 5, 2)),
        (Colour("bt709", True, "bt709", "iec61966-2-1"), (1, 13, 1, 2)),
    ],
)
def test_colour_is_tagged_in_bitstream_and_container(
    moving_pictures: MakePictures, colour: Colour, codes: tuple[int, int, int, int]
) -> None:
    data = encode(moving_pictures(2, 64, 48), colour=colour)
    with av.open(io.BytesIO(data)) as container:
        first = next(container.decode(video=0))
        extradata = container.streams.video[0].codec_context.extradata
    primaries, transfer, matrix, color_range = codes
    assert (first.color_primaries, first.color_trc, first.colorspace, first.color_range) == codes
    colr = dict(boxes(data))["colr"]
    assert colr == b"nclx" + struct.pack(">HHHB", primaries, transfer, matrix, (color_range == 2) << 7)
    # The bitstream by itself, without the container's tags.
    raw = av.CodecContext.create("h264", "r")
    raw.extradata = extradata
    with av.open(io.BytesIO(data)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        frame = (raw.decode(packets[0]) + raw.decode(packets[1]) + raw.decode(None))[0]
    assert (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range) == codes


def test_every_tag_that_probe_gives_is_written(moving_pictures: MakePictures) -> None:
    pictures = moving_pictures(1, 64, 48)

    def codes(colour: Colour) -> tuple[int, int]:
        primaries, transfer = struct.unpack(">HH", dict(boxes(encode(pictures, colour=colour)))["colr"][4:8])
        return primaries, transfer

    of_primaries = [codes(Colour(primaries=name))[0] for name in get_args(PrimariesTag)]
    assert of_primaries == [1, 4, 5, 6, 7, 8, 9, 11, 12, 22]  # ITU-T H.273
    of_transfers = [codes(Colour(transfer=name))[1] for name in get_args(TransferTag)]
    assert of_transfers == [1, 4, 5, 6, 7, 8, 11, 13, 14, 15]


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(64, 45), Fraction(8, 9)])
def test_the_pixel_aspect_is_kept(moving_pictures: MakePictures, aspect: Fraction) -> None:
    data = encode(moving_pictures(2, 64, 48), pixel_aspect=aspect)
    with av.open(io.BytesIO(data)) as container:
        assert container.streams.video[0].sample_aspect_ratio == aspect


def test_the_bytes_are_the_same_every_time(moving_pictures: MakePictures) -> None:
    pictures = moving_pictures(50, 128, 96)
    assert encode(pictures, threads=2) == encode(pictures, threads=2)
    assert encode(pictures, threads=1) == encode(pictures, threads=1)


def test_quality_follows_crf_and_preset(moving_pictures: MakePictures) -> None:
    pictures = moving_pictures(20, 128, 96)
    sizes = [len(encode(pictures, crf=crf)) for crf in (10, 18, 30)]
    assert sizes[0] > sizes[1] > sizes[2]
    assert encode(pictures, preset="ultrafast") != encode(pictures, preset="veryfast")


def test_a_path_is_written_and_a_failed_one_removed(
    moving_pictures: MakePictures, shown: Decode, tmp_path: Path
) -> None:
    pictures = moving_pictures(10, 64, 48)
    path = tmp_path / "a:b ü.mp4"
    with VideoWriter(path, 64, 48, Fraction(25), Colour()) as writer:
        for picture in pictures:
            writer.write(picture)
    assert path.read_bytes() == encode(pictures)

    def fail_midway() -> None:
        with VideoWriter(path, 64, 48, Fraction(25), Colour()) as writer:
            writer.write(pictures[0])
            raise KeyError("the caller's own")

    with pytest.raises(KeyError, match="the caller's own"):
        fail_midway()
    assert list(tmp_path.iterdir()) == []


def test_defects_of_the_caller_are_named(moving_pictures: MakePictures, tmp_path: Path) -> None:
    picture = moving_pictures(1, 64, 48)[0]
    with (
        pytest.raises(InternalError, match=r"\(64, 48\)"),
        VideoWriter(tmp_path / "a.mp4", 32, 48, Fraction(25), Colour()) as writer,
    ):
        writer.write(picture)
    with (
        pytest.raises(InternalError, match="no pictures"),
        VideoWriter(tmp_path / "a.mp4", 32, 48, Fraction(25), Colour()),
    ):
        pass
    with pytest.raises(InternalError, match="preset"):
        encode([picture], preset="quickest")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Give a path"):
        VideoWriter(tmp_path / "none" / "a.mp4", 64, 48, Fraction(25), Colour())


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Let this process write files of so many bytes and no more, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "lacking", [0.5, 0.001], ids=["while pictures come", "while the index moves to the front"]
)
def test_a_full_disk_is_a_storage_error(
    moving_pictures: MakePictures, tmp_path: Path, lacking: float
) -> None:
    pictures = moving_pictures(100, 320, 240)
    whole = len(encode(pictures, crf=0))
    assert whole > 2_000_000

    def write() -> None:
        with VideoWriter(tmp_path / "a.mp4", 320, 240, Fraction(25), Colour(), crf=0) as writer:
            for picture in pictures:
                writer.write(picture)

    with files_no_larger_than(int(whole * (1 - lacking))), pytest.raises(StorageError, match="Free space"):
        write()
    assert list(tmp_path.iterdir()) == []
    with files_no_larger_than(whole):
        write()
    assert (tmp_path / "a.mp4").stat().st_size == whole


def test_a_device_without_space_is_a_storage_error(moving_pictures: MakePictures) -> None:
    def write() -> None:
        with (
            open("/dev/full", "r+b", buffering=0) as device,
            VideoWriter(device, 64, 48, Fraction(25), Colour()) as writer,
        ):
            for picture in moving_pictures(3, 64, 48):
                writer.write(picture)

    with pytest.raises(StorageError, match="Free space"):
        write()


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


def test_a_speech_that_ends_first_leaves_silence(moving_pictures: MakePictures) -> None:
    result = encode(moving_pictures(100, 64, 48), audio=audio.wav(speech(1, 16000, 1)[0]))
    with av.open(io.BytesIO(result)) as container:
        assert container.streams.video[0].frames == 100
        assert 1 <= float(container.streams.audio[0].duration / 16000) < 1.07


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
from lipserve.media.picture import Colour, Picture

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
