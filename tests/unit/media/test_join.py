from __future__ import annotations

import io
import itertools
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import audio
from lipserve.errors import AudioError, InternalError
from lipserve.files.picture import Colour, Picture
from lipserve.media.encode import VideoWriter
from lipserve.media.join import Joiner

MakePictures = Callable[..., list[Picture]]
Decode = Callable[[bytes], list[Any]]

NTSC = Fraction(30000, 1001)


def encode(pictures: list[Picture], fps: Fraction = NTSC, **options: Any) -> bytes:
    height, width = pictures[0].y.shape
    file = io.BytesIO()
    with VideoWriter(file, width, height, fps, Colour(), **options) as writer:
        for picture in pictures:
            writer.write(picture)
    return file.getvalue()


def join(segments: list[bytes], fps: Fraction = NTSC, speech: bytes | None = None) -> bytes:
    file = io.BytesIO()
    with Joiner(file, fps, speech) as joiner:
        for segment in segments:
            joiner.add(segment)
    return file.getvalue()


def cut(pictures: list[Picture], *lengths: int) -> list[list[Picture]]:
    ends = np.cumsum(lengths)
    assert ends[-1] == len(pictures)
    return [pictures[end - length : end] for length, end in zip(lengths, ends, strict=True)]


def tone(seconds: float, rate: int = 16000) -> NDArray[np.float32]:
    return np.float32(0.5 * np.sin(2 * np.pi * 311 * np.arange(round(seconds * rate)) / rate))


@pytest.mark.parametrize(
    "lengths",
    [(25, 25, 25, 25), (60, 1, 37, 2), (1, 99), (3, 97), (100,)],
    ids=lambda v: "+".join(map(str, v)),
)
@pytest.mark.parametrize("fps", [NTSC, Fraction(25)], ids=str)
def test_joined_segments_are_the_frames_of_each(
    moving_pictures: MakePictures, shown: Decode, lengths: tuple[int, ...], fps: Fraction
) -> None:
    pictures = moving_pictures(100, 96, 80)
    segments = [encode(part, fps) for part in cut(pictures, *lengths)]
    joined = join(segments, fps)
    frames = shown(joined)
    assert [frame.time for frame in frames] == [k / fps for k in range(100)]
    alone = [frame for segment in segments for frame in shown(segment)]
    assert len(shown(encode(pictures, fps))) == len(alone) == 100
    for joined_frame, frame in zip(frames, alone, strict=True):
        for a, b in zip(joined_frame.planes, frame.planes, strict=True):
            np.testing.assert_array_equal(a, b)
    with av.open(io.BytesIO(joined)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == fps
        assert stream.duration * stream.time_base == 100 / fps
        packets = [packet for packet in container.demux(stream) if packet.size]
    assert all(a.dts < b.dts for a, b in itertools.pairwise(packets))
    assert all(packet.dts <= packet.pts for packet in packets)
    starts = [k / fps for k in np.cumsum((0, *lengths[:-1]))]
    assert [p.pts * p.time_base for p in packets if p.is_keyframe] == starts


def test_a_joined_film_plays_from_a_seek_to_each_joint(moving_pictures: MakePictures, shown: Decode) -> None:
    segments = [encode(part) for part in cut(moving_pictures(100, 96, 80), 25, 25, 25, 25)]
    joined = join(segments, NTSC, audio.wav(tone(4)))
    frames = shown(joined)
    for k in (25, 50, 75):
        with av.open(io.BytesIO(joined)) as container:
            stream = container.streams.video[0]
            container.seek(round(k / NTSC / stream.time_base), stream=stream)
            played = list(container.decode(stream))
            assert [frame.pts * stream.time_base * NTSC for frame in played] == list(range(k, 100))
            luma = np.frombuffer(memoryview(played[0].planes[0]), np.uint8)
            luma = luma.reshape(80, played[0].planes[0].line_size)[:, :96]
            np.testing.assert_array_equal(luma, frames[k].planes[0])


def test_no_decoder_complains(moving_pictures: MakePictures) -> None:
    segments = [encode(part) for part in cut(moving_pictures(90, 96, 80), 30, 30, 30)]
    joined = join(segments, NTSC, audio.wav(tone(3)))
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture(local=False) as messages, av.open(io.BytesIO(joined)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 90
        with av.logging.Capture(local=False) as more, av.open(io.BytesIO(joined)) as container:
            assert sum(frame.samples for frame in container.decode(audio=0)) >= 48048
    finally:
        av.logging.set_level(None)
    assert messages + more == []


def test_the_speech_is_one_encode_without_gap_or_click(moving_pictures: MakePictures) -> None:
    """A steady tone predicts its next sample: a click at a joint would stand out of the residual."""
    parts = cut(moving_pictures(100, 64, 48), 25, 25, 25, 25)
    speech = audio.wav(tone(5))
    joined = join([encode(part, Fraction(25)) for part in parts], Fraction(25), speech)
    heard = audio.load(joined)
    expected = tone(4)
    assert abs(len(heard) - 64000) < 2048
    np.testing.assert_allclose(heard[2048:63000], expected[2048:63000], atol=0.03)
    residual = heard[2:] - 2 * np.cos(2 * np.pi * 311 / 16000) * heard[1:-1] + heard[:-2]
    joints = [np.abs(residual[k * 16000 - 400 : k * 16000 + 400]).max() for k in (1, 2, 3)]
    assert max(joints) < 3 * np.abs(residual[20_000:28_000]).max()
    with av.open(io.BytesIO(joined)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
    assert {b.dts - a.dts for a, b in itertools.pairwise(packets)} == {1024}
    whole = encode([picture for part in parts for picture in part], Fraction(25), audio=speech)
    np.testing.assert_array_equal(heard, audio.load(whole))


def test_a_real_speech_is_the_driving_one(
    moving_pictures: MakePictures, shared_data: Callable[[str], Path]
) -> None:
    source = shared_data("audio/hallo__1.wav")
    parts = cut(moving_pictures(150, 64, 48), 50, 50, 50)
    joined = join([encode(part, Fraction(25)) for part in parts], Fraction(25), source.read_bytes())
    heard, driving = audio.load(joined)[:96000], audio.load(source)[:96000]
    assert np.corrcoef(heard, driving)[0, 1] >= 0.98  # at offset 0
    with av.open(io.BytesIO(joined)) as container:
        assert container.streams.audio[0].rate == 44100
        assert container.streams.audio[0].channels == 2


def test_segments_that_differ_are_refused(moving_pictures: MakePictures, tmp_path: Path) -> None:
    good = encode(moving_pictures(5, 64, 48))

    def write(other: bytes) -> None:
        with Joiner(tmp_path / "a.mp4", NTSC) as joiner:
            joiner.add(good)
            joiner.add(other)

    for other in (
        encode(moving_pictures(5, 64, 64)),
        encode(moving_pictures(5, 64, 48), preset="ultrafast"),
        encode(moving_pictures(5, 64, 48), pixel_aspect=Fraction(4, 3)),
        encode(moving_pictures(5, 64, 48), audio=audio.wav(tone(1))),
        audio.wav(tone(1)),
        b"no media",
        b"",
    ):
        with pytest.raises(InternalError):
            write(other)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(InternalError, match="frames a second"):
        join([good], Fraction(25))
    with pytest.raises(InternalError, match="No segments"):
        join([])


def test_a_speech_without_sound_is_refused(moving_pictures: MakePictures) -> None:
    segment = encode(moving_pictures(5, 64, 48))
    with pytest.raises(AudioError):
        join([segment], NTSC, b"not a speech")


_PEAK_OF_JOINER = """
import sys, tracemalloc
from fractions import Fraction
from pathlib import Path
from lipserve.media.join import Joiner

segment = Path(sys.argv[1]).read_bytes()
with Joiner(Path(sys.argv[2]), Fraction(30000, 1001)) as joiner:
    joiner.add(segment)
    tracemalloc.start()
    for _ in range(40):
        joiner.add(segment)
    print(tracemalloc.get_traced_memory()[1])
"""


def test_memory_is_that_of_a_segment(moving_pictures: MakePictures, tmp_path: Path) -> None:
    segment = encode(moving_pictures(10, 320, 240), crf=0)
    assert len(segment) > 200_000
    (tmp_path / "segment.mp4").write_bytes(segment)
    # In a process of its own: the threads of a test run allocate too.
    line = [sys.executable, "-c", _PEAK_OF_JOINER, str(tmp_path / "segment.mp4"), str(tmp_path / "a.mp4")]
    said = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True).stdout
    assert int(said) < 2 * len(segment)
    assert (tmp_path / "a.mp4").stat().st_size > 40 * len(segment) * 0.9
