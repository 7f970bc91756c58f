from __future__ import annotations

from pathlib import Path

import pytest

from lipserve.errors import SetupError
from lipserve_training.data.videos import Video, find


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_videos_are_found_with_their_speakers(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("s1/a.mpg", "s1/deep/b.MP4", "alone.mov", "notes.txt", "named.avi")))
    found = find([tmp_path], {"named.avi": "ann", "s1/a.mpg": "ben"})
    assert {video.name: video.speaker for video in found} == {
        "alone.mov": "alone", "named.avi": "ann", "s1/a.mpg": "ben", "s1/deep/b.MP4": "deep",
    }  # fmt: skip


def test_a_file_that_is_named_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    touch(tmp_path / "video.bin")
    assert [video.name for video in find([tmp_path / "video.bin"], {})] == ["video.bin"]


def test_nothing_to_prepare_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="does not exist"):
        find([tmp_path / "absent"], {})
    touch(tmp_path / "notes.txt")
    with pytest.raises(SetupError, match="no video was found") as caught:
        find([tmp_path], {})
    assert ".mp4" in caught.value.remedy


def test_two_videos_of_one_name_are_refused_and_one_named_twice_is_not(tmp_path: Path) -> None:
    touch(tmp_path / "x/a.mp4", tmp_path / "y/a.mp4")
    assert len(find([tmp_path], {})) == 2
    assert len(find([tmp_path / "x", tmp_path / "x" / "a.mp4"], {})) == 1
    with pytest.raises(SetupError, match=r"both be called a\.mp4"):
        find([tmp_path / "x", tmp_path / "y"], {})


def test_no_two_names_share_an_identifier() -> None:
    names = [
        "a/b.mp4",
        "a__b.mp4",
        "a_b.mp4",
        "a b.mp4",
        "a/_b.mp4",
        "Ä.mp4",
        "Ö.mp4",
        "../x",
        ".x",
        "l" * 300,
    ]
    identifiers = [Video(Path(name), name, "").identifier for name in names]
    assert len(set(identifiers)) == len(names)
    for identifier in identifiers:
        assert len(identifier) < 120
        assert "/" not in identifier
        assert not identifier.startswith(".")
