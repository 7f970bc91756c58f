"""A cut gives the pictures of the whole, and is small."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipserve.files.picture import MediaSource, Picture, VideoInfo
from lipserve.media.cut import cut, key_frames, piece
from lipserve.media.decode import read
from lipserve.media.index import VideoIndex, scan
from lipserve.media.probe import probe

Clip = Callable[..., bytes]
Find = Callable[[str], Path]


def _whole(*names: str) -> list[Any]:
    """Return the names as parameters of `make test-all` alone."""
    return [pytest.param(name, marks=pytest.mark.whole) for name in names]


def _digest(picture: Picture) -> str:
    planes = (picture.y, picture.u, picture.v)
    return hashlib.sha256(b"".join(plane.tobytes() for plane in planes)).hexdigest()


def _check(
    source: MediaSource, stretches: list[tuple[int, int]]
) -> tuple[VideoIndex, VideoInfo, list[bytes]]:
    """Assert that every stretch shows the same pictures cut, sought in the whole, and in one pass."""
    index = scan(source)
    info = probe(source)
    end = max(first + count for first, count in stretches)
    whole = [_digest(picture) for picture in read(source, info, 0, end)]
    assert len(whole) == end
    cuts = []
    for first, count in stretches:
        data = cut(source, index, info, first, count)
        assert [_digest(p) for p in read(data, info, first, count)] == whole[first : first + count]
        assert [_digest(p) for p in read(source, info, first, count)] == whole[first : first + count]
        cuts.append(data)
    return index, info, cuts


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "video/LipNet__bbaf2n.mpg",
        "video/Syncnet_FCN__example.avi",
        "edge/facegap_1p5s_vr3.mp4",
        "edge/oneframe_vr2.mp4",
        "edge/short5f_vr2.mp4",
        *_whole(
            "video/LipNet__sbwe5n.mpg",
            "video/SadTalker__WDA_KatieHill_000.mp4",
            "video/LivePortrait__d10.mp4",
            "video/LiveTalking__demo.mp4",
            "video/LiveTalking__demo_old.mp4",
            "video/face_recognition__short_hamilton_clip.mp4",
            "video/video-retalking__1.mp4",
            "edge/odd_dims_yuv444_katie.mp4",
        ),
    ],
)
def test_real_clips(shared_data: Find, name: str) -> None:
    path = shared_data(name)
    frames = probe(path).frames
    rng = np.random.default_rng(len(name))
    stretches = [(0, 1), (max(0, min(frames, 130) - 2), 2 if frames > 1 else 1)]
    for first in rng.integers(0, min(frames, 130), 3).tolist():
        stretches.append((first, int(rng.integers(1, 40))))
    _check(path, stretches)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "edge/hdr10_pq_demo1.mp4",
        *_whole("edge/rot90_meta_demo2.mp4", "video/LatentSync__demo1_video.mp4"),
    ],
)
def test_large_real_clips(shared_data: Find, name: str) -> None:
    _check(shared_data(name), [(0, 2), (13, 5), (40, 3)])


def test_every_stretch_of_an_open_gop_clip(shared_data: Find) -> None:
    # GRID's MPEG-1: every group begins with B-frames that the group before it is needed for.
    path = shared_data("video/LipNet__brbk7n.mpg")
    _check(path, [(first, 2) for first in range(0, 74, 5)])


@pytest.mark.parametrize(
    ("codec", "container", "options"),
    [
        ("libx264", "mp4", {"bf": "3", "g": "12"}),
        ("libx264", "mp4", {"bf": "3", "g": "12", "x264-params": "open-gop=1"}),
        ("libx264", "matroska", {"bf": "2", "g": "10"}),
        ("libx264", "mpegts", {"bf": "2", "g": "10"}),
        ("libx264", "flv", {"bf": "2", "g": "10"}),
        ("libx264", "avi", {"bf": "0", "g": "10"}),
        ("libx265", "mp4", {"x265-params": "keyint=12:log-level=none"}),
        ("mpeg2video", "mpegts", {"bf": "2", "g": "9"}),
        ("mpeg4", "avi", {"g": "9"}),
        ("libvpx-vp9", "webm", {"g": "10", "deadline": "realtime", "cpu-used": "8"}),
        ("libvpx", "webm", {"g": "10", "deadline": "realtime", "cpu-used": "8"}),
        ("mjpeg", "matroska", {}),
        ("ffv1", "matroska", {"g": "5"}),
    ],
)
def test_made_clips_of_many_codecs(clip: Clip, codec: str, container: str, options: dict[str, str]) -> None:
    tags = {"pix_fmt": "yuvj420p"} if codec == "mjpeg" else {}
    data = clip(60, codec=codec, container=container, options=options, **tags)
    stretches = [(0, 5), (11, 3), (24, 20), (37, 1), (59, 1), (0, 60)]
    _, _, cuts = _check(data, stretches)
    middle = [len(cuts[1]), len(cuts[3])]
    assert max(middle) < 0.6 * len(data)
    with av.open(io.BytesIO(cuts[1])) as container_:
        assert [stream.type for stream in container_.streams] == ["video"]


def test_a_cut_holds_no_more_than_the_groups_that_it_touches(clip: Clip) -> None:
    data = clip(100, options={"g": "10", "bf": "2", "sc_threshold": "0"})
    index, _, cuts = _check(data, [(25, 10), (50, 10)])
    with av.open(io.BytesIO(data)) as container:
        sizes = np.array([packet.size for packet in container.demux(video=0) if packet.size])
    bounds = np.flatnonzero(index.key).tolist()
    assert bounds == list(range(0, 100, 10))
    for data_, (begin, end) in zip(cuts, [(20, 40), (50, 63)], strict=True):
        assert len(data_) < sizes[begin:end].sum() + 800


def test_60_and_120_fps_and_a_variable_rate_that_starts_late(clip: Clip) -> None:
    _check(clip(90, rate=60, options={"g": "20"}), [(0, 3), (33, 30), (88, 2)])
    _check(clip(90, rate=120, options={"g": "20"}), [(0, 3), (21, 20), (43, 2)])
    pts = (np.cumsum([0] + [40, 40, 80, 55, 33] * 12) + 5000).tolist()
    data = clip(61, container="matroska", pts=pts, time_base=Fraction(1, 1000), options={"g": "10"})
    _, info, cuts = _check(data, [(0, 3), (33, 12), (60, 9)])
    assert info.variable
    assert info.start == 5
    assert max(map(len, cuts)) < 0.6 * len(data)


def test_rotation_ten_bits_and_hdr_come_from_info(clip: Clip) -> None:
    _check(clip(40, rotation=90, options={"g": "10"}), [(15, 5), (33, 7)])
    hdr = {"pix_fmt": "yuv420p10le", "color_trc": 16, "color_primaries": 9, "colorspace": 9}
    data = clip(40, container="matroska", options={"g": "10"}, **hdr)
    _, info, cuts = _check(data, [(15, 5), (33, 7)])
    assert info.hdr == "pq"
    assert max(map(len, cuts)) < 0.6 * len(data)


@pytest.mark.parametrize("container", ["avi", "h264"])
def test_a_file_without_timestamps_is_given_whole(clip: Clip, container: str) -> None:
    data = clip(40, container=container, options={"bf": "3", "g": "10"})
    index, _, cuts = _check(data, [(0, 4), (22, 6)])
    assert not index.cuttable
    assert cuts == [data, data]


def test_an_image_can_be_cut(clip: Clip) -> None:
    _check(clip(1, codec="png", container="image2pipe", pix_fmt="rgb24"), [(0, 1)])


def test_a_truncated_file_can_be_cut(clip: Clip) -> None:
    data = clip(100, container="matroska", options={"g": "10"})
    _check(data[: len(data) * 2 // 3], [(12, 6), (45, 5)])


def test_a_path_is_cut_as_its_bytes(clip: Clip, tmp_path: Path) -> None:
    data = clip(100, options={"g": "10"})
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    index = scan(data)
    info = probe(data)
    assert cut(path, index, info, 52, 5) == cut(data, index, info, 52, 5)
    # A second before another key frame, and far enough in to seek.
    assert len(cut(path, index, info, 90, 5)) < 0.3 * len(data)


def test_a_frame_hidden_by_an_edit_list_stays_hidden(clip: Clip) -> None:
    data = bytearray(clip(60, options={"g": "30", "bf": "0"}))
    at = data.index(b"elst")
    # version and flags, entry count, then duration, media time, rate: begin ten frames in, inside a group.
    ticks = int.from_bytes(data[data.index(b"mdhd") + 16 : data.index(b"mdhd") + 20], "big") // 25
    data[at + 16 : at + 20] = (10 * ticks).to_bytes(4, "big")
    index, info, cuts = _check(bytes(data), [(0, 4), (12, 4), (25, 10)])
    assert info.frames == 50
    assert index.hidden.sum() == 10
    assert cuts[0] == bytes(data)
    assert len(cuts[2]) < 0.7 * len(data)
    assert piece(bytes(data), index, info, 0, 4) is None
    assert piece(bytes(data), index, info, 25, 10) == cuts[2]
    assert key_frames(index, info) == [20]  # the thirtieth frame of the file, of which ten are hidden


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"rate": 25}, [0, 20, 40]),
        ({"rate": 120}, [0, 10, 20]),  # of which every second frame is shown
        ({"container": "h264"}, []),  # no timestamps
    ],
)
def test_a_cut_at_a_key_frame_begins_there(clip: Clip, options: dict[str, Any], keys: list[int]) -> None:
    data = clip(60, options={"g": "20", "bf": "2", "sc_threshold": "0"}, **options)
    index = scan(data)
    info = probe(data)
    assert key_frames(index, info) == keys
    for key in keys[1:]:
        found = scan(piece(data, index, info, key, 2) or b"")
        assert float(found.pts[0] * found.time_base) == pytest.approx(float(key / info.fps + info.start))
        assert found.key[0]
        assert found.packets < 8
