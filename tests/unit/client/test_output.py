from __future__ import annotations

import errno
import io
import os
import secrets
from pathlib import Path

import pytest

from lipserve.errors import InputError, SetupError
from lipserve_client._output import Output, write_whole


def write(target: Path, content: bytes = b"film") -> None:
    with Output(target) as output:
        output.write(content)
        output.commit()


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
    assert output.file.closed


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


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> bool:  # root, who runs tests in containers, may look everywhere
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "is_dir", closed)
    with pytest.raises(SetupError, match="Permission denied"):
        Output(tmp_path / "out.mp4")


def test_an_input_that_cannot_be_looked_at_is_not_the_outputs_fault(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"older")
    Output(target, ("x" * 300, b"speech")).discard()


def test_a_symbolic_link_stays_one_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for name, old in (("there", b"older"), ("not_yet", None)):
        real, link, second = tmp_path / "real" / f"{name}.mp4", tmp_path / name, tmp_path / f"{name}2"
        if old is not None:
            real.write_bytes(old)
        link.symlink_to(real)
        second.symlink_to(link)
        write(second)
        assert link.is_symlink()
        assert second.is_symlink()
        assert not real.is_symlink()
        assert real.read_bytes() == b"film"
    assert sorted(os.listdir(tmp_path / "real")) == ["not_yet.mp4", "there.mp4"]


@pytest.mark.parametrize("name", ["x.mp4", "x.MP4", "x.m4v", "x", "x.mp4.part", "x.tmp", "2026.11.30", ".x"])
def test_names_without_a_foreign_extension_are_written(name: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    assert os.listdir(tmp_path) == [name]


def test_an_open_file_gets_the_whole_or_nothing(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    with (tmp_path / "stream").open("wb") as stream:
        with Output(stream) as output:
            output.write(content[:100])
        assert stream.tell() == 0
        with Output(stream) as output:
            output.write(content)
            assert output.commit() is None
    assert (tmp_path / "stream").read_bytes() == content


def test_memory_is_a_stream_too() -> None:
    stream = io.BytesIO()
    with Output(stream) as output:
        output.write(b"film")
        output.commit()
    assert stream.getvalue() == b"film"


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_a_file_that_cannot_be_renamed_over_is_written_through(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a single file that a container has mounted: tests may mount none."""

    def busy(path: Path, target: Path) -> Path:
        raise OSError(number, os.strerror(number), str(path))

    target = tmp_path / "out.mp4"
    target.write_bytes(b"an older and longer one")
    node = target.stat().st_ino
    monkeypatch.setattr(Path, "replace", busy)
    write(target)
    assert target.read_bytes() == b"film"
    assert target.stat().st_ino == node
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_a_full_stream_is_a_setup_error() -> None:
    with open("/dev/full", "wb", buffering=0) as full, Output(full) as output:
        output.write(b"film")
        with pytest.raises(SetupError, match="No space left"):
            output.commit()


def test_a_reader_that_leaves_is_no_full_disk() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb", buffering=0) as pipe, Output(pipe) as output:
        output.write(b"film")
        with pytest.raises(BrokenPipeError):
            output.commit()


def test_a_text_is_written_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "report.json", "ä\n")
    assert (tmp_path / "report.json").read_bytes() == b"\xc3\xa4\n"
    assert os.listdir(tmp_path) == ["report.json"]


def test_files_of_a_killed_run_are_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "deep.mp4")
    for target in ("out.mp4", "link"):
        left = tmp_path / f".lipserve-{secrets.token_hex(8)}.mp4"
        left.write_bytes(b"half")
        write(tmp_path / target)
        assert not left.exists()
    assert sorted(os.listdir(tmp_path)) == ["deep.mp4", "link", "out.mp4"]
