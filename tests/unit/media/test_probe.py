"""What probe tells, and what it refuses."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipserve.errors import InputError, LimitError, VideoError
from lipserve.media.probe import probe

Clip = Callable[..., bytes]
Find = Callable[[str], Path]


@pytest.mark.parametrize(
    ("name", "size", "fps", "frames", "flags"),
    [
        ("video/LipNet__bbaf2n.mpg", (360, 288), 25, 75, ""),
        ("video/Syncnet_FCN__example.avi", (224, 224), 25, 317, ""),
        ("video/LatentSync__demo1_video.mp4", (1080, 1920), 25, 250, ""),
        ("video/video-retalking__1.mp4", (700, 700), 30, 183, "variable"),
        ("video/LiveTalking__demo.mp4", (600, 650), 60, 2852, "variable"),
        ("video/face-api.js__video.mp4", (820, 460), Fraction(24_000, 1001), 5, ""),
        ("video/face_recognition__short_hamilton_clip.mp4", (640, 360), Fraction(2997, 100), 275, ""),
        ("video/moviepy__test_video.mp4", (1, 1), 25, 125, "variable"),
        ("edge/oneframe_vr2.mp4", (844, 844), 25, 1, "still"),
        ("edge/short5f_vr2.mp4", (844, 844), 25, 5, ""),
        ("edge/odd_dims_yuv444_katie.mp4", (511, 389), 25, 100, ""),
        ("edge/hdr10_pq_demo1.mp4", (1080, 1920), 25, 100, "pq"),
        ("edge/rot90_meta_demo2.mp4", (1920, 1080), 25, 154, "rotated variable"),
    ],
)
def test_real_files(
    shared_data: Find, name: str, size: tuple[int, int], fps: Fraction, frames: int, flags: str
) -> None:
    info = probe(shared_data(name))
    assert (info.width, info.height) == size
    assert info.fps == fps
    assert abs(info.frames - frames) <= 1
    assert info.variable == ("variable" in flags)
    assert info.still == ("still" in flags)
    assert (info.hdr == "pq") == ("pq" in flags)
    assert info.rotation == (270 if "rotated" in flags else 0)
    assert info.warnings == ()


def test_a_path_tells_what_the_bytes_tell(clip: Clip, tmp_path: Path) -> None:
    data = clip()
    path = tmp_path / "a%d.png"  # a name that FFmpeg would take for a sequence of images
    path.write_bytes(data)
    assert probe(path) == probe(str(path)) == probe(data)
    assert probe(data).frames == 30


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi", "mpegts", "flv", "nut", "h264"])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_containers_tell_the_same_frames(clip: Clip, container: str, b_frames: int) -> None:
    info = probe(clip(container=container, options={"bf": str(b_frames), "g": "12"}))
    assert (info.fps, info.frames, info.variable) == (25, 30, False)
    assert (info.width, info.height, info.codec, info.pixel_format) == (128, 96, "h264", "yuv420p")


def test_mpeg_2_program_streams_lack_timestamps_here_and_there(clip: Clip) -> None:
    info = probe(clip(codec="mpeg2video", container="vob", options={"bf": "2", "g": "12"}))
    assert (info.fps, info.frames) == (25, 30)


def test_a_start_that_is_not_zero_and_a_variable_rate(clip: Clip) -> None:
    pts = [1000 + 40 * i + (20 if i >= 15 else 0) for i in range(30)]
    info = probe(clip(container="matroska", pts=pts, time_base=Fraction(1, 1000)))
    assert info.start == 1
    assert (info.fps, info.frames, info.variable) == (25, 30, True)


def test_more_than_sixty_frames_a_second_are_halved(clip: Clip) -> None:
    info = probe(clip(60, rate=120))
    assert (info.fps, info.frames, info.variable) == (60, 30, False)


@pytest.mark.parametrize(("degrees", "rotation"), [(90, 270), (180, 180), (-90, 90)])
def test_rotation_turns_size_and_pixel_aspect(clip: Clip, degrees: int, rotation: int) -> None:
    info = probe(clip(rotation=degrees, sample_aspect_ratio=Fraction(4, 3)))
    assert info.rotation == rotation
    assert (info.width, info.height) == ((128, 96) if degrees == 180 else (96, 128))
    assert info.pixel_aspect == (Fraction(4, 3) if degrees == 180 else Fraction(3, 4))


@pytest.mark.parametrize(("codec", "pix_fmt"), [("png", "rgb24"), ("mjpeg", "yuvj420p"), ("bmp", "bgr24")])
def test_an_image_is_a_still(clip: Clip, codec: str, pix_fmt: str) -> None:
    info = probe(clip(1, codec=codec, container="image2pipe", pix_fmt=pix_fmt))
    assert (info.still, info.fps, info.frames) == (True, 25, 1)
    assert info.colour.full_range == (codec == "mjpeg")


def test_sound_beside_the_video_is_told(shared_data: Find) -> None:
    assert probe(shared_data("edge/short5f_vr2.mp4")).has_audio
    assert not probe(shared_data("edge/noaudio_vr2.mp4")).has_audio


@pytest.mark.parametrize("container", ["matroska", "flv"])
def test_a_truncated_file_counts_what_is_there_and_says_so(clip: Clip, container: str) -> None:
    data = clip(100, container=container, options={"g": "10"})
    info = probe(data[: len(data) // 2])
    assert 20 < info.frames < 80
    if container == "matroska":
        assert "cut short" in info.warnings[0]


def test_a_truncated_mp4_with_its_index_in_front_counts_what_is_there(clip: Clip) -> None:
    data = clip(100, options={"g": "10"})
    moved = _index_in_front(data)
    assert probe(moved).frames == 100
    info = probe(moved[: len(moved) * 2 // 3])
    assert 30 < info.frames < 90
    assert "cut short" in info.warnings[0]


def _index_in_front(data: bytes) -> bytes:
    """Move the `moov` box before `mdat`, its chunk offsets shifted."""
    at = data.index(b"moov") - 4
    moov = bytearray(data[at : at + struct.unpack(">I", data[at : at + 4])[0]])
    table = moov.index(b"stco") + 8
    for entry in range(struct.unpack(">I", moov[table : table + 4])[0]):
        where = slice(table + 4 + 4 * entry, table + 8 + 4 * entry)
        moov[where] = struct.pack(">I", struct.unpack(">I", moov[where])[0] + len(moov))
    head = 4 + data.index(b"ftyp") - 8 + struct.unpack(">I", data[:4])[0]
    return data[:head] + bytes(moov) + data[head:at]


def _refuse(source: bytes | Path, error: type[InputError]) -> str:
    worked, begun = time.process_time(), time.monotonic()
    with pytest.raises(error) as caught:
        probe(source)
    assert time.process_time() - worked < 2
    assert time.monotonic() - begun < 15  # FFmpeg waits twenty seconds and more for what a file names
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"No video at all, only words.\n" * 1000,
        np.random.default_rng(0).bytes(1_000_000),
        b"\0" * 100_000,
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
    ids=["empty", "byte", "text", "random", "zeros", "svg"],
)
def test_a_file_that_is_no_video_is_refused(data: bytes) -> None:
    _refuse(data, VideoError)


def test_a_file_cut_before_its_index_is_refused(shared_data: Find) -> None:
    _refuse(shared_data("edge/truncated_vr2.mp4"), VideoError)


def test_sound_alone_is_refused_even_with_a_cover_picture(shared_data: Find) -> None:
    assert "sound only" in _refuse(shared_data("audio/hallo__1.wav"), VideoError)


def test_sound_alone_is_refused() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as output:
        stream = output.add_stream("pcm_s16le", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 3200), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert "sound only" in _refuse(file.getvalue(), VideoError)


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    _refuse(tmp_path / "absent.mp4", VideoError)
    _refuse(tmp_path, VideoError)
    os.mkfifo(tmp_path / "fifo")
    _refuse(tmp_path / "fifo", VideoError)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{path}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{path}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static'"
        " mediaPresentationDuration='PT1S'><Period><AdaptationSet contentType='video'>"
        "<Representation id='0' mimeType='video/mp4' codecs='avc1.64000a' bandwidth='1'>"
        "<BaseURL>{path}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    ],
    ids=["m3u8", "ffconcat", "sdp", "mpd"],
)
def test_a_playlist_cannot_make_the_server_read_another_file(clip: Clip, tmp_path: Path, text: str) -> None:
    (tmp_path / "private.mp4").write_bytes(clip())
    for target in (str(tmp_path / "private.mp4"), "private.mp4", f"file:{tmp_path}/private.mp4"):
        playlist = tmp_path / "list.m3u8"
        playlist.write_text(text.format(path=target))
        _refuse(playlist, VideoError)
        _refuse(playlist.read_bytes(), VideoError)


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 999))


def _patched(data: bytes, box: bytes, offset: int, size: bytes) -> bytes:
    at = data.index(box) + offset
    return data[:at] + size + data[at + len(size) :]


@pytest.mark.parametrize("kind", ["png", "png 9000", "avi", "raw avi", "mp4", "mkv", "bmp"])
def test_a_picture_declared_too_large_is_refused_from_its_header(clip: Clip, kind: str) -> None:
    huge = struct.pack("<ii", 100_000, 100_000)
    if kind.startswith("png"):
        data = _png(9000, 100) if "9000" in kind else _png(100_000, 100_000)
    elif kind == "avi":
        data = _patched(clip(codec="mpeg4", container="avi"), b"strf", 12, huge)
    elif kind == "raw avi":
        data = _patched(clip(3, codec="rawvideo", container="avi"), b"strf", 12, huge)
    elif kind == "mp4":
        data = _patched(clip(), b"avc1\0\0\0\0\0\0\0\1", 28, struct.pack(">HH", 65_535, 65_535))
    elif kind == "mkv":
        data = _patched(clip(size=(300, 300), container="matroska"), b"\xb0\x82\x01\x2c", 2, b"\xff\xff")
    else:
        head = struct.pack("<IiiHHIIiiII", 40, 100_000, 100_000, 1, 24, 0, 0, 0, 0, 0, 0)
        data = b"BM" + struct.pack("<IHHI", 1054, 0, 0, 54) + head + b"\0" * 1000
    for _ in range(2):  # the second time too: FFmpeg's log drops what it has just said
        assert "8192" in _refuse(data, LimitError)


def test_a_stream_whose_packets_are_noise_is_refused(clip: Clip) -> None:
    data = clip()
    at = data.index(b"mdat") + 4
    size = struct.unpack(">I", data[at - 8 : at - 4])[0] - 8
    noise = np.random.default_rng(1).bytes(size)
    _refuse(data[:at] + noise + data[at + size :], VideoError)


@pytest.mark.parametrize(
    "pts",
    [
        [*range(0, 800_000, 40_000), *range(800_000, 800_066)],  # microseconds: a crowd after a second
        list(range(0, 1000, 5)),
        list(range(0, 1_000_000, 666)),  # 1500 a second
    ],
    ids=["in places", "at once", "everywhere"],
)
def test_far_more_frames_than_are_shown_are_refused(clip: Clip, pts: list[int]) -> None:
    data = clip(len(pts), (32, 16), codec="ffv1", container="nut", pts=pts, time_base=Fraction(1, 1_000_000))
    assert f"has {len(pts)} frames for" in _refuse(data, LimitError)


def test_a_second_stream_of_pictures_is_told() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as output:
        streams = [output.add_stream("mpeg2video", rate=25, width=64, height=48) for _ in range(2)]
        for number in range(10):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number, np.uint8), "rgb24")
                frame.pts = number
                output.mux(stream.encode(frame))
        for stream in streams:
            output.mux(stream.encode(None))
    assert "2 streams of pictures" in probe(file.getvalue()).warnings[0]
