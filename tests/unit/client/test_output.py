from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lipserve.errors import InputError, SetupError
from lipserve_client._output import Output


def test_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    output = Output(target)
    output.write(b"film")
    assert not target.exists()
    assert output.commit() == target
    output.discard()
    assert target.read_bytes() == b"film"
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_an_older_result_survives_a_failure(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"older")
    output = Output(target)
    output.write(b"half")
    output.discard()
    assert target.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_a_result_is_an_ordinary_file(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    output = Output(tmp_path / "out.mp4")
    output.commit()
    assert (tmp_path / "out.mp4").stat().st_mode == plain.stat().st_mode


def test_without_a_name_the_bytes_come_back_and_no_file_stays() -> None:
    output = Output(None)
    output.write(b"film")
    assert output.commit() == b"film"
    output.discard()
    assert not output.path.exists()


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    video.write_bytes(b"x")
    (tmp_path / "link.mp4").symlink_to(video)
    for name in ("video.mp4", "link.mp4"):
        with pytest.raises(InputError, match="another output"):
            Output(tmp_path / name, (str(video), b"speech"))


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="directory"):
        Output(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        Output(tmp_path / "absent" / "out.mp4")
    with pytest.raises(SetupError, match="Cannot write"):
        Output("/proc/out.mp4")
    with pytest.raises(SetupError, match="File name too long"):
        Output(tmp_path / ("x" * 300))


def test_a_folder_that_lets_nobody_look_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> bool:  # root, who runs tests in containers, may look everywhere
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "is_dir", closed)
    with pytest.raises(SetupError, match="Permission denied"):
        Output(tmp_path / "out.mp4")


def test_an_input_that_cannot_be_looked_at_is_not_the_outputs_fault(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"older")
    Output(target, ("x" * 300, b"speech")).discard()
