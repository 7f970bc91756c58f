"""Every frame that can be decoded shows, once and in order, whatever the file's timestamps say."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from itertools import groupby

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.media.cut import cut, piece
from lipserve.media.decode import read
from lipserve.media.index import scan
from lipserve.media.probe import probe
from lipserve.text import counted

Clip = Callable[..., bytes]
NumberOf = Callable[[NDArray[np.uint8]], int]


def _numbers(data: bytes, number_of: NumberOf, threads: int = 1) -> list[int]:
    return [number_of(picture.y) for picture in read(data, probe(data), threads=threads)]


def _check_stretches(data: bytes, number_of: NumberOf, expected: list[int]) -> None:
    """Assert that a stretch alone, sought or cut out, shows what it does in the whole."""
    index, info = scan(data), probe(data)
    for first, count in ((0, 3), (len(expected) // 2 - 2, 5), (len(expected) - 3, 3)):
        part = cut(data, index, info, first, count)
        for source in (data, part):
            shown = [number_of(picture.y) for picture in read(source, info, first, count)]
            assert shown == expected[first : first + count]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("codec", "rate"), [("mpeg4", 30), ("mpeg4", Fraction(24_000, 1001)), ("libx264", 25), ("mpeg2video", 25)]
)
def test_avi_with_b_frames_shows_every_frame(
    clip: Clip, number_of: NumberOf, codec: str, rate: Fraction, threads: int
) -> None:
    data = clip(100, codec=codec, container="avi", rate=rate, options={"bf": "2", "g": "12"})
    info = probe(data)
    assert (info.fps, info.frames, info.clock, info.warnings) == (rate, 100, "counted", ())
    assert _numbers(data, number_of, threads) == list(range(100))
    _check_stretches(data, number_of, list(range(100)))


def test_avi_that_skips_frames_keeps_its_time(clip: Clip, number_of: NumberOf) -> None:
    # The muxer fills the pause with empty packets.
    pts = [number + (number >= 40) * 3 for number in range(80)]
    options = {"bf": "2", "g": "12"}
    data = clip(80, codec="mpeg4", container="avi", pts=pts, time_base=Fraction(1, 25), options=options)
    info = probe(data)
    assert (info.fps, info.frames, info.variable, info.warnings) == (25, 83, True, ())
    numbers = _numbers(data, number_of)
    assert numbers[:38] == list(range(38))
    assert numbers[-38:] == list(range(42, 80))
    assert sorted(set(numbers)) == list(range(80))


def _into_the_past(matroska: bytes, milliseconds: int) -> bytes:
    """Move all blocks back in time: those that then lie before 0 have no timestamp for FFmpeg."""
    data = bytearray(matroska)

    def size(at: int) -> tuple[int, int]:
        width = 9 - data[at].bit_length()
        return at + width, int.from_bytes(data[at : at + width], "big") - (1 << 7 * width)

    cluster = data.find(b"\x1f\x43\xb6\x75")
    while cluster >= 0:
        at, length = size(cluster + 4)
        end = at + length
        while at < end:
            kind = data[at]
            at, length = size(at + 1)
            if kind == 0xA3:  # a SimpleBlock: track, time beside the cluster's, flags
                time = int.from_bytes(data[at + 1 : at + 3], "big", signed=True) - milliseconds
                data[at + 1 : at + 3] = time.to_bytes(2, "big", signed=True)
            at += length
        cluster = data.find(b"\x1f\x43\xb6\x75", end)
    return bytes(data)


def test_the_first_packets_of_a_cut_matroska_have_no_timestamps_and_show(
    clip: Clip, number_of: NumberOf
) -> None:
    data = _into_the_past(clip(60, container="matroska", options={"bf": "2", "g": "12"}), 300)
    with av.open(io.BytesIO(data)) as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert 0 < stamps.count(None) < 10
    assert probe(data).frames == 60
    assert _numbers(data, number_of) == list(range(60))
    _check_stretches(data, number_of, list(range(60)))


@pytest.mark.parametrize(
    ("container", "lengths"), [("mpegts", (33, 75, 5)), ("matroska", (33, 75)), ("h264", (33, 75, 5))]
)
def test_files_joined_end_to_end_show_one_after_the_other(
    clip: Clip, number_of: NumberOf, container: str, lengths: tuple[int, ...]
) -> None:
    data = b"".join(clip(n, container=container, options={"bf": "2", "g": "10"}) for n in lengths)
    info = probe(data)
    assert (info.fps, info.frames, info.variable) == (25, sum(lengths), False)
    expected = [number for length in lengths for number in range(length)]
    assert _numbers(data, number_of) == expected
    _check_stretches(data, number_of, expected)
    if container != "h264":  # which has no clock
        (warning,) = info.warnings
        assert f"restarts or jumps ({counted(len(lengths) - 1, 'time')})" in warning
        assert len(piece(data, scan(data), info, 60, 5) or data) < 0.4 * len(data)


def test_joined_program_streams_show_every_frame(clip: Clip, number_of: NumberOf) -> None:
    # FFmpeg makes up the last timestamp of each from the next one's first, so that a frame may be held twice.
    options = {"bf": "2", "g": "10"}
    data = b"".join(clip(n, codec="mpeg2video", container="vob", options=options) for n in (33, 75))
    numbers = _numbers(data, number_of)
    assert [number for number, _ in groupby(numbers)] == [*range(33), *range(75)]
    assert len(numbers) in (108, 109)


@pytest.mark.parametrize(("container", "read_of"), [("matroska", 2), ("flv", 1)])
def test_joined_files_that_ffmpeg_reads_in_part_give_a_warning(
    clip: Clip, container: str, read_of: int
) -> None:
    files = [clip(20, container=container) for _ in range(3)]
    info = probe(b"".join(files))
    assert info.frames == 20 * read_of
    assert "what was appended to it cannot be read" in info.warnings[0]
    assert "appended" not in " ".join(probe(b"".join(files[:read_of])).warnings)


@pytest.mark.parametrize("container", ["mpegts", "flv", "vob"])
def test_a_clock_that_jumps_holds_no_frame(clip: Clip, number_of: NumberOf, container: str) -> None:
    codec = "mpeg2video" if container == "vob" else "libx264"
    pts = [number + (number >= 36) * 25 * 5000 for number in range(90)]
    options = {"bf": "0", "g": "12", "sc_threshold": "0"}
    data = clip(90, codec=codec, container=container, pts=pts, time_base=Fraction(1, 25), options=options)
    info = probe(data)
    assert (info.fps, info.frames, info.variable) == (25, 90, False)
    assert "restarts or jumps (1 time)" in info.warnings[0]
    assert _numbers(data, number_of) == list(range(90))
    _check_stretches(data, number_of, list(range(90)))


def test_a_picture_that_is_held_for_long_by_its_file_is_no_jump(clip: Clip) -> None:
    pts = [0, 20_000, 55_000, 60_000]  # ms: slides
    for container in ("mp4", "matroska"):
        info = probe(clip(4, container=container, pts=pts, time_base=Fraction(1, 1000), options={"bf": "0"}))
        assert (info.clock, info.warnings) == ("file", ())
        assert 60 <= info.frames / info.fps <= 80


def _zeroed(data: bytes, first: int, count: int) -> bytes:
    """Return a file whose packets `first` .. are full of noise."""
    damaged = bytearray(data)
    with av.open(io.BytesIO(data)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    rng = np.random.default_rng(0)
    for at, size in places[first : first + count]:
        damaged[at + 8 : at + size] = rng.bytes(size - 8)
    return bytes(damaged)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4", "libvpx-vp9", "libvpx", "mjpeg", "ffv1"])
def test_frames_that_cannot_be_decoded_are_named_by_their_time(clip: Clip, codec: str) -> None:
    options = {"g": "20"}
    if codec == "libx265":
        options = {"x265-params": "keyint=20:log-level=none"}
    tags = {"pix_fmt": "yuvj420p"} if codec == "mjpeg" else {}
    data = clip(60, codec=codec, container="matroska", options=options, **tags)
    info = probe(data)
    faults: list[str] = []
    assert len(list(read(data, info, threads=1, faults=faults))) == 60
    assert faults == []
    damaged = _zeroed(data, 28, 5)
    assert len(list(read(damaged, info, threads=1, faults=faults))) == 60
    assert faults == ["some of its pictures cannot be decoded"]
    before: list[str] = []
    assert len(list(read(damaged, info, 0, 12, threads=1, faults=before))) == 12
    assert before == []


@pytest.mark.parametrize(
    ("codec", "container", "options"),
    [
        ("libx264", "mpegts", {"bf": "3", "g": "12", "x264-params": "open-gop=1"}),
        ("libx265", "mp4", {"x265-params": "keyint=12:open-gop=1:log-level=none"}),
        ("mpeg2video", "mpegts", {"bf": "2", "g": "12"}),
        ("libvpx", "webm", {"g": "30", "auto-alt-ref": "1", "lag-in-frames": "16"}),
        ("libvpx-vp9", "webm", {"g": "30", "auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"}),
        ("mpeg4", "avi", {"bf": "2", "g": "12"}),
    ],
)
def test_a_whole_file_raises_no_alarm_wherever_reading_begins(
    clip: Clip, codec: str, container: str, options: dict[str, str]
) -> None:
    data = clip(150, codec=codec, container=container, options=options)
    index, info = scan(data), probe(data)
    assert info.warnings == ()
    faults: list[str] = []
    for first in (0, 13, 70, 71, 95, 140):
        for source in (data, cut(data, index, info, first, 5)):
            assert len(list(read(source, info, first, 5, threads=1, faults=faults))) == 5
    assert faults == []
