"""A video that is opened once gives, each time that it is read, what it gives when it is opened for that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import av
import pytest

from lipserve.errors import LimitError
from lipserve.files.picture import Picture
from lipserve.media.cut import key_frames, piece
from lipserve.media.decode import read, skim
from lipserve.media.index import scan
from lipserve.media.opening import check_declared, opened
from lipserve.media.probe import probe

Clip = Callable[..., bytes]

_TIMED: dict[str, dict[str, Any]] = {
    "mp4": {"options": {"g": "20", "bf": "2"}},
    "mp4 that begins late": {"options": {"g": "20"}, "pts": [*range(10, 100)]},
    "mov of whole pictures": {"codec": "mpeg4", "container": "mov", "options": {"g": "1"}},
    "matroska": {"container": "matroska", "options": {"g": "20", "bf": "2"}},
    "webm": {"codec": "libvpx-vp9", "container": "webm", "options": {"g": "20"}},
    "nut": {"container": "nut", "options": {"g": "20", "bf": "2"}},
}
_UNTIMED: dict[str, dict[str, Any]] = {
    "mpegts": {"container": "mpegts", "options": {"g": "20", "bf": "2"}},
    "flv": {"container": "flv", "options": {"g": "20", "bf": "2"}},
    "avi": {"codec": "mpeg4", "container": "avi", "options": {"g": "20", "bf": "2"}},
    "gif": {"codec": "gif", "container": "gif", "pix_fmt": "rgb8"},
    "h264": {"container": "h264"},
}


@pytest.fixture
def demuxers(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every file that FFmpeg has been told to read."""
    found: list[object] = []
    plain = av.open

    def noted(file: Any, *args: Any, **options: Any) -> Any:
        if options.get("mode") == "r":
            found.append(file)
        return plain(file, *args, **options)

    monkeypatch.setattr(av, "open", noted)
    return found


def _digests(pictures: Iterator[Picture]) -> list[str]:
    return [hashlib.sha256(b"".join(map(bytes, (p.y, p.u, p.v)))).hexdigest() for p in pictures]


def _check(data: bytes) -> None:
    """Assert that probing, skimming and reading to and fro are the same on one opening."""
    index, info = scan(data), probe(data)
    end = info.frames - 10
    faults: list[str] = []
    whole = _digests(read(data, info, 0, info.frames, threads=1, faults=faults))
    with opened(data) as video:
        assert probe(video) == info
        assert scan(video) is scan(video)
        assert key_frames(scan(video), info) == key_frames(index, info)
        for at, pictures in zip(
            (0, end), skim(video, info, [(0, 5), (end, 10)], [0, end], threads=1), strict=True
        ):
            found = _digests(pictures)
            assert found == whole[at : at + len(found)]
        assert _digests(read(video, info, end, 10, threads=1)) == whole[end:]
        for _ in range(2):
            told: list[str] = []
            assert _digests(read(video, info, 0, info.frames, threads=1, faults=told)) == whole
            assert told == faults


@pytest.mark.parametrize("kind", _TIMED.values(), ids=_TIMED.keys())
def test_a_file_that_stores_every_time_is_opened_once(
    clip: Clip, kind: dict[str, Any], demuxers: list[object]
) -> None:
    data = clip(90, **kind)
    _check(data)
    demuxers.clear()
    with opened(data) as video:
        info = probe(video)
        for first in (0, 80, 3, 60, 0):
            assert len(list(read(video, info, first, 5, threads=1))) == 5
    assert len(demuxers) == 2  # its header, and all of it
    assert demuxers[0] is demuxers[1]


@pytest.mark.parametrize("kind", _UNTIMED.values(), ids=_UNTIMED.keys())
def test_times_that_are_made_up_are_made_up_as_before(clip: Clip, kind: dict[str, Any]) -> None:
    _check(clip(90, **kind))


def test_a_file_that_is_cut_short_is_read_again_alike(clip: Clip) -> None:
    for container in ("matroska", "nut"):
        data = clip(90, container=container, options={"g": "20"})
        _check(data[: len(data) * 2 // 3])


def test_frames_that_an_edit_list_hides_stay_hidden(clip: Clip) -> None:
    data = bytearray(clip(60, options={"g": "30", "bf": "0"}))
    at = data.index(b"elst")
    ticks = int.from_bytes(data[data.index(b"mdhd") + 16 : data.index(b"mdhd") + 20], "big") // 25
    data[at + 16 : at + 20] = (10 * ticks).to_bytes(4, "big")  # begin ten frames in, inside a group
    assert scan(bytes(data)).hidden.sum() == 10
    _check(bytes(data))


def test_a_piece_is_read_again_as_it_was(clip: Clip) -> None:
    data = clip(200, options={"g": "20", "bf": "2"})
    info = probe(data)
    part = piece(data, scan(data), info, 60, 100)
    assert part is not None
    with opened(part) as video:
        assert probe(video).frames > 90
        for first in (60, 150, 61):
            assert _digests(read(video, info, first, 9, threads=1)) == _digests(read(data, info, first, 9))


def test_declarations_of_a_header_are_checked_once_and_only_where_asked(clip: Clip) -> None:
    data = clip(size=(300, 300), container="matroska")
    at = data.index(b"\xb0\x82\x01\x2c") + 2
    data = data[:at] + b"\xff\xff" + data[at + 2 :]
    for refused in (lambda: opened(data).__enter__(), lambda: check_declared(data), lambda: probe(data)):
        with pytest.raises(LimitError, match="8192"):
            refused()
    with opened(data, declared=False) as video:
        assert probe(video).width == 300  # which is what the stream says
