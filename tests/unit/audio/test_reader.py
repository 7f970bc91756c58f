"""What a few bytes can ask of the reader: rates, channels, gaps and packets that multiply."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipserve import audio
from lipserve.audio.convert import check_frame
from lipserve.audio.reader import open_audio
from lipserve.errors import AudioError, LimitError

PIECE = 16_384  # samples


def sound(rate: int, samples: int = 1000, *starts: int, picture: bool = False) -> bytes:
    """Return packets of `samples` each at `starts` (seconds) in NUT, after a picture at 0 if asked for."""
    file = io.BytesIO()
    with av.open(file, "w", format="nut") as container:
        pictures = container.add_stream("mpeg4", rate=25, width=64, height=48) if picture else None
        stream = container.add_stream("pcm_u8", rate=rate, layout="mono")
        if pictures is not None:
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
            container.mux([*pictures.encode(frame), *pictures.encode(None)])
        for start in starts or (0,):
            block = av.AudioFrame.from_ndarray(np.full((1, samples), 200, np.uint8), "u8", "mono")
            block.sample_rate, block.time_base, block.pts = rate, Fraction(1, rate), start * rate
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return file.getvalue()


def lengths(source: bytes) -> list[int]:
    with open_audio(source) as reader:
        return [block.shape[1] for block in reader.blocks(16_000, 1)]


@pytest.mark.parametrize("rate", [1000, 48_000, 2_822_400, 3_000_000])
def test_a_gap_is_silence_in_small_blocks_at_any_rate(rate: int) -> None:
    source = sound(rate, 1000, 9, picture=True)
    assert len(source) < 2000
    given = lengths(source)
    assert max(given) <= PIECE
    assert abs(sum(given) - (9 + 1000 / rate) * 16_000) < 10


@pytest.mark.parametrize("rate", [1, 999, 3_000_001, 100_000_000, 2_000_000_000])
def test_a_rate_of_no_speech_is_refused(rate: int) -> None:
    for source in (sound(rate), sound(rate, 1000, 9, picture=True)):
        with pytest.raises(AudioError, match="1000 to 3000000 Hz"):
            audio.load(source)


def test_every_frame_is_held_to_the_bounds() -> None:
    """A stream may change its rate and its channels in the middle."""
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 65 * 4), np.int16), "s16", "65 channels")
    frame.sample_rate = 48_000
    with pytest.raises(AudioError, match="64 channels"):
        check_frame(frame)
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 64 * 4), np.int16), "s16", "64 channels")
    frame.sample_rate = 48_000
    check_frame(frame)
    frame.sample_rate = 3_000_001
    with pytest.raises(AudioError, match="3000000 Hz"):
        check_frame(frame)


def test_a_long_packet_is_converted_in_pieces() -> None:
    given = lengths(sound(1000, 100_000))
    assert max(given) <= PIECE * 16
    assert abs(sum(given) - 1_600_000) <= 2


def test_gaps_count_as_speech() -> None:
    source = sound(3_000_000, 10, *range(0, 90, 9))
    assert abs(len(audio.load(source)) - 81 * 16_000) <= 10
    with pytest.raises(LimitError):
        audio.load(source, max_seconds=80)
    with open_audio(source) as reader:  # whatever the file says of its length
        assert sum(block.shape[1] for block in reader.blocks(16_000, 1)) > 80 * 16_000


def test_many_gaps_do_not_add_up_to_a_shift() -> None:
    assert abs(len(audio.load(sound(22_050, 1024, *range(100)))) - (99 * 16_000 + 743)) <= 10


@pytest.mark.parametrize("samples", [1, 3])
def test_less_than_a_sample_is_no_speech(samples: int, tmp_path: Path) -> None:
    source = sound(192_000, samples)
    for read in (audio.load, lambda data: audio.spool(data, tmp_path)):
        with pytest.raises(AudioError, match="shorter"):
            read(source)


@pytest.mark.parametrize("channels", [3, 8, 12])
def test_planar_channels_without_a_layout_are_mixed(channels: int) -> None:
    """Opus gives them planar; Python must not touch 8 planes or more."""
    file = io.BytesIO()
    levels = np.linspace(0.1, 0.4, channels, dtype=np.float32)
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream(
            "libopus",
            rate=48_000,
            layout=f"{channels} channels",
            options={"mapping_family": "255"},
            bit_rate=64_000 * channels,
        )
        tone = np.sin(2 * np.pi * 300 * np.arange(48_000) / 48_000).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(
            (tone[:, None] * levels).reshape(1, -1), "flt", f"{channels} channels"
        )
        frame.sample_rate, frame.time_base, frame.pts = 48_000, Fraction(1, 48_000), 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    expected = 0.4 * np.sin(2 * np.pi * 300 * np.arange(16_000) / 16_000)
    loaded = audio.load(file.getvalue())
    np.testing.assert_allclose(loaded[1000:15_000], expected[1000:15_000], atol=0.02)
