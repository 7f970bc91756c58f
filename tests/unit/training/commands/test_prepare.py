"""`lipserve train prepare`, as a user runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lipserve.errors import SetupError
from lipserve_training.commands.prepare import read_speakers
from tests.support.programs import LIPSERVE
from tests.support.programs import train as main
from tests.support.waiting import until

Capture = pytest.CaptureFixture[str]
SharedData = Callable[[str], Path]
PROGRAM = (LIPSERVE, "train")


def test_speakers_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "speakers.txt"
    file.write_text("# who is who\na.mp4 ann\n\n  two words.mp4   ben # a comment\nä.mp4 ann\na.mp4 ann\n")
    assert read_speakers(file) == {"a.mp4": "ann", "two words.mp4": "ben", "ä.mp4": "ann"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a.mp4\n", "line 1"),
        (b"a.mp4 ann\na.mp4 ben\n", "two speakers"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_wrong_file_of_speakers_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "speakers.txt"
    file.write_bytes(content)
    with pytest.raises(SetupError, match=reason):
        read_speakers(file)
    with pytest.raises(SetupError, match="cannot be read"):
        read_speakers(tmp_path / "absent.txt")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--workers", "0"], "--workers is 0"),
        (["--workers", "-3"], "--workers is -3"),
        (["--min-sync", "nan"], "--min-sync is nan"),
        (["--min-sync", "7"], "--min-sync is 7"),
        (["--models", "absent"], "lipserve export faces"),
        ([], "no video was found"),
    ],
)
def test_impossible_orders_are_refused_at_once(
    tmp_path: Path, capsys: Capture, options: list[str], reason: str
) -> None:
    if options:
        (tmp_path / "video.mp4").write_text("text")
    assert main(["prepare", str(tmp_path), "-o", str(tmp_path / "data"), *options]) == 5
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_a_folder_of_text_files_gives_no_clips(tmp_path: Path, exported: Path, capsys: Capture) -> None:
    for name in ("a.mp4", "b.mov"):
        (tmp_path / name).write_text("text " * 1000)
    words = ["prepare", tmp_path, "-o", tmp_path / "data", "--models", exported, "--workers", 1]
    assert main([str(word) for word in words]) == 5
    told = capsys.readouterr().err
    assert "None of the 2 videos gave a clip." in told
    assert "dropped a.mp4" in told
    report = json.loads((tmp_path / "data" / "report.json").read_text())
    assert [row["source"] for row in report] == ["a.mp4", "b.mov"]


@pytest.mark.whole
@pytest.mark.slow
def test_ctrl_c_in_the_middle_and_then_to_the_end(
    tmp_path: Path, exported: Path, shared_data: SharedData
) -> None:
    """The second of two videos takes long: it is stopped, and no process is left.

    In `make test`, test_train.py interrupts a command, and data/test_prepare.py goes on with a dataset.
    """
    (tmp_path / "in").mkdir()
    for name in ("LipNet__sbwe5n.mpg", "LiveTalking__demo.mp4", "LipNet__lbax4n.mpg"):
        (tmp_path / "in" / name).symlink_to(shared_data(f"video/{name}"))
    (tmp_path / "speakers.txt").write_text("LipNet__sbwe5n.mpg s32\nLipNet__sbwe5m.mpg s32\n")
    words = [
        *(*PROGRAM, "prepare", tmp_path / "in", "-o", tmp_path / "data", "--models", exported),
        *("--workers", "2", "--speakers", tmp_path / "speakers.txt"),
    ]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    notes = tmp_path / "data" / "videos"
    until(lambda: len(list(notes.glob("[!.]*"))) >= 2, "two videos are done")
    time.sleep(0.5)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped after 2 of 3 videos; run the same command again to go on" in told
    assert "names LipNet__sbwe5m.mpg, but no video is called so" in told
    assert "Traceback" not in told
    assert psutil.wait_procs(children, timeout=20)[1] == []
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "data" / "clips").iterdir()}
    assert len(made) == 2

    (tmp_path / "in" / "LiveTalking__demo.mp4").unlink()
    ended = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=True, timeout=120)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data" / "clips").iterdir()} == made
    assert "6 s of 6 s" in ended.stderr
    assert "s32: 3 s" in ended.stderr
