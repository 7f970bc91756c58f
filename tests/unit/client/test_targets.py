"""What a result may be written to: looked at before any work is done for it."""

from __future__ import annotations

import io
import os
import socket
import stat
from pathlib import Path

import pytest

from lipserve.errors import InputError, SetupError
from lipserve_client._output import Output
from lipserve_client._targets import NO_MEDIA, check_apart, check_target


def test_a_target_that_is_no_regular_file_is_refused_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "null.mp4").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name in (tmp_path / "fifo", tmp_path / "socket", tmp_path / "null.mp4", Path("/dev/null")):
            with pytest.raises(InputError, match="not a regular file"):
                Output(name)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert sorted(os.listdir(tmp_path)) == ["fifo", "null.mp4", "socket"]


def test_links_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "gone").symlink_to(tmp_path / "absent" / "out.mp4")
    with pytest.raises(SetupError, match="symbolic links"):
        Output(tmp_path / "loop")
    with pytest.raises(InputError, match="does not exist"):
        Output(tmp_path / "gone")
    assert (tmp_path / "loop").is_symlink()


@pytest.mark.parametrize("name", ["x.webm", "x.MKV", "x.avi", "x.mov", "x.gif", "x.wav", "x.png", "x.mp4.ts"])
def test_a_name_that_promises_another_kind_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"belongs to another kind of file. Name it x.*mp4"):
        Output(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_media_extensions_are_refused_for_other_files(tmp_path: Path) -> None:
    for name in ("x.mp4", "x.wav"):
        with pytest.raises(InputError, match="Name it x,"):
            check_target(tmp_path / name, names=NO_MEDIA)
    assert check_target(tmp_path / "x.json", names=NO_MEDIA) == Path(os.path.realpath(tmp_path)) / "x.json"


def test_two_results_need_two_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a.mp4")
    (tmp_path / "first").touch()
    (tmp_path / "second").hardlink_to(tmp_path / "first")
    check_apart(tmp_path / "a.mp4", tmp_path / "b.mp4")
    for one, other in (
        ("a", "a"),
        ("a.mp4", "link"),
        ("first", "second"),
        ("a", "../" + tmp_path.name + "/a"),
    ):
        with pytest.raises(InputError, match="name of its own"):
            check_apart(tmp_path / one, tmp_path / other)


def test_a_zero_byte_is_no_name() -> None:
    with pytest.raises(InputError, match="not the name of a file"):
        Output("a\0b.mp4")


def test_unwritable_streams_are_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    with (tmp_path / "there").open("rb") as reading, (tmp_path / "text").open("w") as text:
        with (tmp_path / "gone").open("wb") as gone:
            pass
        for target in (reading, text, gone, io.StringIO(), 3, object()):
            with pytest.raises(InputError, match="mode 'wb'"):
                Output(target)  # type: ignore[arg-type]
