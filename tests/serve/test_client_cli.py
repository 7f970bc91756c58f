"""The command `lipserve` against a real server."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo import portrait
from lipserve.contracts import of_tier
from lipserve_cli.main import main
from tests.support.servers import RunningServer
from tests.support.waiting import until

pytestmark = pytest.mark.serve

LIPSERVE = [sys.executable, "-c", "from lipserve_cli.main import main; raise SystemExit(main())"]


def _on_a_terminal(command: list[str]) -> str:
    """Run `command` with its stderr on a terminal; return what was written there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    said = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                said += os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
        elif process.poll() is not None:
            break
    os.close(ours)
    assert process.wait(10) == 0, said
    return said.decode()


def test_sync_writes_the_video_the_report_and_a_summary(
    server: RunningServer, media: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "out.mp4", tmp_path / "report.json"
    arguments = ["dub", *media, "-o", str(out), "--report", str(report), "--url", server.url, "--crf", "30"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert out.read_bytes()[4:8] == b"ftyp"
    assert json.loads(report.read_text())["frames"] == 25
    assert re.search(r"out\.mp4: 25 frames, 1\.00 s of 128x128 at 25 fps in .* real time\)", captured.out)
    assert captured.err == ""


def test_the_film_can_be_streamed(server: RunningServer, media: tuple[str, str], tmp_path: Path) -> None:
    command = [*LIPSERVE, "dub", *media, "--url", server.url, "--no-provenance", "-o"]
    report = tmp_path / "report.json"
    streamed = subprocess.run([*command, "-", "--report", str(report)], capture_output=True, check=True)
    assert re.match(rb"standard output: 25 frames, 1\.00 s of 128x128", streamed.stderr)
    told = subprocess.run(
        [*command, str(tmp_path / "out.mp4"), "--stream", "--report", "-"], capture_output=True, check=True
    )
    assert b"moof" in streamed.stdout
    assert (tmp_path / "out.mp4").read_bytes() == streamed.stdout
    assert json.loads(told.stdout)["frames"] == json.loads(report.read_text())["frames"] == 25


def test_the_files_of_a_killed_run_are_removed_by_the_next(
    server: RunningServer, media: tuple[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    command = [*LIPSERVE, "dub", *media, "--url", server.url, "-o", str(folder / "out.mp4")]
    with subprocess.Popen(command) as run:
        until(lambda: list(folder.glob(".lipserve-*")), "the result is begun")
        run.kill()
    assert len(os.listdir(folder)) == 1
    assert main([*command[3:], "-q"]) == 0
    assert os.listdir(folder) == ["out.mp4"]


def test_quiet_says_nothing(
    server: RunningServer, media: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dub", *media, "-o", str(tmp_path / "out.mp4"), "--url", server.url, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_progress_and_a_quiet_one_does_not(
    server: RunningServer, media: tuple[str, str], tmp_path: Path
) -> None:
    command = [*LIPSERVE, "dub", *media, "-o", str(tmp_path / "out.mp4"), "--url", server.url]
    said = _on_a_terminal(command)
    assert "25/25" in said
    assert "time left" in said
    assert _on_a_terminal([*command, "--quiet"]) == ""


def test_a_dead_server_among_several_does_not_matter(
    server: RunningServer, media: tuple[str, str], tmp_path: Path
) -> None:
    arguments = ["dub", *media, "-o", str(tmp_path / "out.mp4"), "--url", f"127.0.0.1:9,{server.url}"]
    assert main(arguments) == 0


def test_a_refusal_of_the_server_has_its_exit_code(
    server: RunningServer, media: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = tmp_path / "grey.mp4"
    grey.write_bytes(portrait.clip(1.0, (128, 128), zoom=20.0))
    assert main(["dub", str(grey), media[1], "-o", str(tmp_path / "out.mp4"), "--url", server.url]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: No face")
    assert said.count("\n") == 1
    assert "[lipserve:" not in said


def test_models_as_a_table_and_as_json(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--url", server.url]) == 0
    table = capsys.readouterr().out
    assert re.search(r"wav2lip_generate +1 +READY +stage +wav2lip", table)
    assert re.search(r"lipwarp_prepare +1 +READY +stage +lipwarp", table)
    assert re.search(r"face_detector +1 +READY +leaf +all", table)
    assert main(["models", "--url", server.url, "--json"]) == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["face_detector"]["kind"] == "leaf"


def test_health_calls_every_model(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--url", server.url]) == 0
    assert capsys.readouterr().out == f"{server.url}: ready\n"
    assert main(["health", "--deep", "--url", server.url, "--json"]) == 0
    (health,) = json.loads(capsys.readouterr().out)
    assert health["ok"]
    asked = {model["name"] for model in health["models"]}
    assert asked == {model.name for tier in ("lipwarp", "wav2lip") for model in of_tier(tier)}
    assert all(model["error"] == "" for model in health["models"])


def test_bench_measures_every_level(
    server: RunningServer, media: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bench", *media, "--url", server.url, "--levels", "1,2", "--requests", "3"]
    assert main([*arguments, "--json"]) == 0
    levels = json.loads(capsys.readouterr().out)
    assert [(level["concurrency"], level["requests"]) for level in levels] == [(1, 3), (2, 3)]
    for level in levels:
        assert level["errors"] == {}
        assert 0 < level["p50"] <= level["p95"] <= level["p99"]
        assert level["frames_per_second"] == pytest.approx(25 * level["clips_per_second"])
        assert level["realtime_factor"] == pytest.approx(level["clips_per_second"])
        assert level["clips_per_second"] == pytest.approx(3 / level["seconds"])
    assert main([*arguments, "--levels", "1", "--requests", "1"]) == 0
    assert "x real time" in capsys.readouterr().out
