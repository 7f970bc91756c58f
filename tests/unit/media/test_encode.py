from __future__ import annotations

import io
import itertools
import resource
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
import pytest

from demo import portrait
from lipserve.errors import CancelledError, InputError, InternalError, StorageError
from lipserve.files.picture import Colour, Picture, PrimariesTag, TransferTag
from lipserve.media import encode as encoding
from lipserve.media.encode import VideoWriter, encoded_size
from tests.support.media import encode

MakePictures = Callable[..., list[Picture]]
Decode = Callable[[bytes], list[Any]]


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
        pytest.raises(InternalError, match="without pictures"),
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


def test_the_end_of_a_film_can_be_given_up_between_its_pictures(
    moving_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """x264 holds dozens of pictures when it has the last: of a large film that is minutes of work."""
    looks: list[int] = []
    monkeypatch.setattr(encoding, "look", lambda: looks.append(1))
    writer = VideoWriter(io.BytesIO(), 64, 48, Fraction(25), Colour(), preset="slow")
    for picture in moving_pictures(60, 64, 48):
        writer.write(picture)
    written = len(looks)
    assert written < 40, "this test is about pictures that are held back"

    def leave() -> None:
        looks.append(1)
        if len(looks) == written + 3:
            raise CancelledError("The caller gave up.")

    monkeypatch.setattr(encoding, "look", leave)
    with pytest.raises(CancelledError), writer:
        pass
    assert len(looks) == written + 3


def test_equal_input_gives_equal_bytes() -> None:
    """Pictures of a size and kind of which x264's code for AVX-512 made two or three different files."""
    pictures = [portrait.picture(frame) for frame in portrait.frames(0.8, (160, 160))]
    assert len({encode(pictures, threads=1) for _ in range(16)}) == 1
