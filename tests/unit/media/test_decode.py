"""Which picture stands on which grid frame, and what its samples are."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.errors import LimitError, VideoError
from lipserve.files.picture import Colour, Picture
from lipserve.media import decode
from lipserve.media.cut import key_frames
from lipserve.media.decode import read, read_order, skim
from lipserve.media.index import scan
from lipserve.media.probe import probe

Clip = Callable[..., bytes]
Find = Callable[[str], Path]
NumberOf = Callable[[NDArray[np.uint8]], int]


def _planes(data: bytes) -> list[list[NDArray[np.uint8]]]:
    """Decode with PyAV alone."""
    with av.open(io.BytesIO(data)) as container:
        return [
            [
                np.frombuffer(memoryview(p), np.uint8).reshape(p.height, p.line_size)[:, : p.width].copy()
                for p in frame.planes
            ]
            for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize("size", [(128, 96), (131, 97)])
def test_8_bit_420_passes_bit_exact(clip: Clip, size: tuple[int, int]) -> None:
    data = clip(12, size, codec="libx264" if size[0] % 2 == 0 else "ffv1", container="matroska")
    expected = _planes(data)
    pictures = list(read(data, probe(data)))
    assert len(pictures) == len(expected) == 12
    for picture, planes in zip(pictures, expected, strict=True):
        for got, plane in zip((picture.y, picture.u, picture.v), planes, strict=True):
            assert np.array_equal(got, plane)
            assert not got.flags.writeable


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi", "mpegts", "h264"])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_frames_come_in_order_from_any_container(
    clip: Clip, number_of: NumberOf, container: str, b_frames: int
) -> None:
    data = clip(150, container=container, options={"bf": str(b_frames), "g": "20"})
    info = probe(data)
    for first, count in ((0, 150), (70, 8), (149, 1)):
        numbers = [number_of(picture.y) for picture in read(data, info, first, count)]
        assert numbers == list(range(first, first + count))


def test_a_variable_rate_shows_on_every_grid_frame_the_last_frame_presented(
    clip: Clip, number_of: NumberOf
) -> None:
    pts = [0, 40, 80, 200, 240, 262, 320, 360, 401, 437, 480]  # ms: a pause of 120, then jitter
    data = clip(len(pts), container="matroska", pts=pts, time_base=Fraction(1, 1000))
    info = probe(data)
    assert (info.fps, info.frames, info.variable) == (25, 13, True)
    expected = [max(i for i, t in enumerate(pts) if t <= 40 * j + 18) for j in range(13)]
    assert [number_of(picture.y) for picture in read(data, info)] == expected
    assert expected[2:5] == [2, 2, 2]


def test_a_pause_repeats_the_same_picture_object(clip: Clip) -> None:
    data = clip(4, container="matroska", pts=[0, 40, 80, 280], time_base=Fraction(1, 1000))
    pictures = list(read(data, replace(probe(data), fps=Fraction(25), frames=8)))
    assert pictures[2] is pictures[6]
    assert pictures[6] is not pictures[7]


def test_a_120_fps_clip_shows_every_second_frame(clip: Clip, number_of: NumberOf) -> None:
    data = clip(60, rate=120)
    assert [number_of(picture.y) for picture in read(data, probe(data))] == list(range(0, 60, 2))


@pytest.mark.parametrize("fps", [30, 50, 60])
def test_other_rates_pass_one_to_one(clip: Clip, number_of: NumberOf, fps: int) -> None:
    data = clip(40, rate=fps, container="matroska")
    info = probe(data)
    assert info.fps == fps
    assert [number_of(picture.y) for picture in read(data, info)] == list(range(40))


def test_beyond_the_end_the_last_picture_repeats(clip: Clip, number_of: NumberOf) -> None:
    data = clip(5)
    assert [number_of(picture.y) for picture in read(data, probe(data), 3, 4)] == [3, 4, 4, 4]
    assert list(read(data, probe(data), 5)) == []


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_rotation_turns_the_planes_exactly(clip: Clip, degrees: int, turns: int) -> None:
    plain, turned = clip(3), clip(3, rotation=degrees)
    for before, after in zip(read(plain, probe(plain)), read(turned, probe(turned)), strict=True):
        for name in ("y", "u", "v"):  # numpy turns counter-clockwise, as the display matrix does
            assert np.array_equal(getattr(after, name), np.rot90(getattr(before, name), turns))


def _psnr(a: Picture, b: Picture) -> float:
    error = [np.mean((getattr(a, n).astype(float) - getattr(b, n)) ** 2) for n in ("y", "u", "v")]
    return float(10 * np.log10(255**2 / max(np.mean(error), 1e-9)))


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "quality"),
    [
        ("ffv1", "yuv420p10le", 47),  # FFmpeg's dither is one of two, from process to process
        ("ffv1", "yuv422p", 38),
        ("ffv1", "yuv444p", 35),
        ("ffv1", "yuv444p10le", 35),
        ("ffv1", "yuva420p", 60),
        ("ffv1", "gbrp10le", 35),
        ("ffv1", "bgra", 35),
    ],
)
def test_other_formats_become_the_same_picture(clip: Clip, codec: str, pix_fmt: str, quality: float) -> None:
    size = (129, 95)
    tags = {"colorspace": 0 if pix_fmt in ("gbrp10le", "bgra") else 1}
    plain = clip(3, size, codec="ffv1", container="matroska", colorspace=1)
    other = clip(3, size, codec=codec, container="matroska", pix_fmt=pix_fmt, **tags)
    info = probe(other)
    assert info.colour == Colour()
    for a, b in zip(read(plain, probe(plain)), read(other, info), strict=True):
        assert a.y.shape == b.y.shape == (95, 129)
        assert b.u.shape == b.v.shape == (48, 65)
        assert b.y.dtype == np.uint8
        # The reference's own chroma was made by another filter, and its RGB by another matrix than 709.
        assert _psnr(a, b) > (quality if "yuv" in pix_fmt else 20)


def test_rgb_becomes_limited_bt709(clip: Clip) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="image2pipe") as output:
        stream = output.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "rgb24"
        image = np.zeros((32, 64, 3), np.uint8)
        image[:, :32] = (200, 80, 40)
        image[:, 32:] = 255
        output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode(None))
    data = file.getvalue()
    picture = next(read(data, probe(data)))
    luma = 16 + 219 * (0.2126 * 200 + 0.7152 * 80 + 0.0722 * 40) / 255
    assert picture.y[16, 8] == pytest.approx(luma, abs=1)
    assert picture.u[8, 4] == pytest.approx(128 + 224 * (40 - (luma - 16) / 219 * 255) / 255 / 1.8556, abs=1)
    assert picture.v[8, 4] == pytest.approx(128 + 224 * (200 - (luma - 16) / 219 * 255) / 255 / 1.5748, abs=1)
    assert (picture.y[16, 56], picture.u[8, 28], picture.v[8, 28]) == (235, 128, 128)


def test_a_gray_video_of_limited_range_keeps_its_luma(clip: Clip) -> None:
    data = clip(2, codec="ffv1", container="matroska", pix_fmt="gray", color_range=1)
    expected = _planes(data)[0][0]
    picture = next(read(data, probe(data)))
    assert np.array_equal(picture.y, expected)
    assert np.unique(picture.u).tolist() == [128]


def test_damaged_packets_are_skipped_and_the_grid_stays_whole(clip: Clip, number_of: NumberOf) -> None:
    data = bytearray(clip(90, container="mpegts", options={"g": "15", "bf": "0"}))
    middle = len(data) // 2 // 188 * 188
    data[middle : middle + 188 * 8] = np.random.default_rng(0).bytes(188 * 8)
    info = probe(bytes(data))
    numbers = [number_of(picture.y) for picture in read(bytes(data), info)]
    assert len(numbers) == info.frames >= 85
    assert numbers[0] == 0
    assert numbers[-1] == 89


def test_nothing_to_decode_raises(clip: Clip) -> None:
    info = probe(clip())
    audio_free = clip(1, codec="png", container="image2pipe", pix_fmt="rgb24")
    with pytest.raises(VideoError):
        next(read(audio_free[:60] + b"\0" * 200, info))
    with pytest.raises(LimitError):
        next(read(clip(), replace(info, width=100_000, height=100_000)))


def test_a_picture_that_changes_size_is_scaled_to_the_first(clip: Clip, number_of: NumberOf) -> None:
    data = clip(20, (128, 96), container="h264") + clip(20, (192, 144), container="h264")
    info = probe(data)
    pictures = list(read(data, info))
    assert {picture.y.shape for picture in pictures} == {(96, 128)}
    assert [number_of(picture.y) for picture in pictures] == [*range(20), *range(20)]


_GROWTH_OF_READ = """
import sys
from pathlib import Path
import psutil
from lipserve.media.decode import read
from lipserve.media.probe import probe

data, process = Path(sys.argv[1]).read_bytes(), psutil.Process()
info = probe(data)
for _ in read(data, info, 0, 30):
    pass
before = process.memory_info().rss
print(max(process.memory_info().rss for _ in read(data, info)) - before)
"""


def test_memory_does_not_grow_with_the_length(clip: Clip, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(clip(150, (480, 360), options={"preset": "ultrafast"}))
    # In a process of its own: the threads of a test run allocate too.
    line = [sys.executable, "-c", _GROWTH_OF_READ, str(tmp_path / "a.mp4")]
    said = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True).stdout
    assert int(said) < 40 * 480 * 360 * 1.5  # of 150 pictures


@pytest.mark.parametrize("taken", [1, 5])
def test_stretches_of_one_group_of_pictures_are_decoded_in_one_go(
    clip: Clip, number_of: NumberOf, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = clip(150, options={"g": "20", "bf": "2", "sc_threshold": "0"})
    info = probe(data)
    opened: list[int] = []
    monkeypatch.setattr(decode, "read", lambda *a, **k: opened.append(a[2]) or read(*a, **k))
    firsts = [0, 10, 15, 45, 60, 79, 140]
    spans = [(first, 5) for first in firsts]
    shown = [
        [number_of(picture.y) for picture in islice(pictures, taken)]
        for pictures in skim(data, info, spans, key_frames(scan(data), info))
    ]
    assert shown == [list(range(first, first + taken)) for first in firsts]
    assert opened == [0, 45, 60, 140]


def _to_and_fro(frames: int, count: int) -> NDArray[np.int64]:
    phase = np.arange(count) % (2 * frames - 2)
    return np.minimum(phase, 2 * frames - 2 - phase)


class _Counted:
    """Counts the pictures that `read_order` asks `read` for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pictures = 0
        self.largest = 0
        original = decode.read

        def counted(*args: object, **kwargs: object) -> object:
            for picture in original(*args, **kwargs):  # type: ignore[arg-type]
                self.pictures += 1
                yield picture

        monkeypatch.setattr(decode, "read", counted)


@pytest.mark.parametrize(
    ("indices", "decoded"),
    [
        (_to_and_fro(60, 300), 60),  # fits the budget: decoded once
        (np.full(50, 7), 1),
        (np.arange(20), 20),
        (np.array([3, 3, 4, 4, 5, 4, 4, 3, 2, 2, 3]), 4),
        (np.array([50, 49, 48, 10, 11, 12, 30, 29, 29]), 8),
        (np.array([5]), 1),
    ],
)
def test_an_order_of_runs(
    clip: Clip,
    number_of: NumberOf,
    monkeypatch: pytest.MonkeyPatch,
    indices: NDArray[np.int64],
    decoded: int,
) -> None:
    data = clip(60, options={"g": "12"})
    counted = _Counted(monkeypatch)
    numbers = [number_of(picture.y) for picture in read_order(data, probe(data), indices)]
    assert numbers == indices.tolist()
    assert counted.pictures == decoded


def test_a_small_budget_costs_decoding_but_not_order(
    clip: Clip, number_of: NumberOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = clip(60, options={"g": "12"})
    indices = _to_and_fro(60, 240)
    counted = _Counted(monkeypatch)
    size = 128 * 96 * 3 // 2
    numbers = [number_of(p.y) for p in read_order(data, probe(data), indices, budget=10 * size)]
    assert numbers == indices.tolist()
    assert 60 < counted.pictures <= 240
