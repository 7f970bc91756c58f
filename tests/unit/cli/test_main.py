"""The command line without a server: help, refusals, exit codes; the rest is in tests/serve."""

from __future__ import annotations

import importlib.util
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest

from lipserve import audio
from lipserve.options import Options
from lipserve_cli.main import main
from tests.support.processes import computing
from tests.support.scripted_triton import Authority, Failing, StartTriton

COMMANDS = ("dub", "prepare", "serve", "models", "health", "bench", "compare")


@pytest.fixture
def media(tmp_path: Path) -> tuple[str, str]:
    """A picture and half a second of silence."""
    picture, speech = tmp_path / "picture.png", tmp_path / "speech.wav"
    picture.write_bytes(cv2.imencode(".png", np.full((64, 64, 3), 90, np.uint8))[1].tobytes())
    speech.write_bytes(audio.wav(np.zeros(8000, np.float32)))
    return str(picture), str(speech)


def _help(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys)
    for word in (*COMMANDS, "exit codes", "130", "examples"):
        assert word in text


def test_every_option_has_a_flag_with_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(_help(capsys, "dub").split())
    for name, field in Options.model_fields.items():
        if name != "segment":
            assert f"--{name.replace('_', '-')}" in text
            told = re.sub(r"^(lipwarp|latentsync): ", "", str(field.description))  # that is its group's title
            assert " ".join(told.split()) in text
    assert "--segment" not in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("lipserve ")


@pytest.mark.parametrize(
    ("line", "usage", "words"),
    [
        (
            "serve --tier lipwarp",
            "serve",
            "unrecognized arguments: --tier lipwarp (see lipserve serve --help)",
        ),
        ("dub a b -o c --strenght=1", "dub", "--strenght=1; did you mean --strength?"),
        ("jobs submit a b --wiat", "jobs submit", "--wiat; did you mean --wait?"),
        ("dub a b c -o d", "dub", "unrecognized arguments: c"),
    ],
)
def test_a_word_that_a_command_does_not_know_shows_that_commands_usage(
    capsys: pytest.CaptureFixture[str], line: str, usage: str, words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"usage: lipserve {usage} ")
    assert words in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--crf", "99"], 2, "crf"),
        (["--face", "nobody"], 2, "Use largest, all, speaking"),
        (["--steps", "4"], 2, "the tier latentsync"),
        (["--strength", "2"], 2, "strength"),
        (["--strength", "1.2", "--tier", "wav2lip"], 2, "the tier lipwarp"),
        (["--source", "absent.source"], 2, "Check the path"),
        (["--source", __file__], 2, "Prepare the video again: lipserve prepare"),
        (["--report", __file__, "--source", __file__], 2, "one of the inputs"),
        (["--url", "http://localhost"], 2, "gRPC address"),
        (["--timeout", "0"], 2, "timeout"),
        (["--retries", "-1"], 2, "retries"),
        (["--concurrency", "0"], 2, "concurrency"),
        (["--header", "x"], 2, "NAME=VALUE"),
        (["--tls-cert", "x.pem"], 2, "both"),
        (["--tls-ca", "absent.pem"], 5, "absent.pem"),
        (["-o", "/proc/out.mp4"], 5, "Cannot write"),
        (["-o", "absent/out.mp4"], 2, "Create it first"),
        (["--report", "absent/report.json"], 2, "Create it first"),
        (["--report", "x" * 300], 5, "Cannot write"),
        (["-o", "x" * 300], 5, "File name too long"),
        (["-o", "/dev/null"], 2, "not a regular file"),
        (["-o", "out.webm"], 2, "Name it out.mp4"),
        (["-o", "x", "--report", "./x"], 2, "a name of its own"),
        (["-o", "-", "--report", "-"], 2, "Two results would be written to standard output"),
        (["--report", "report.mp4"], 2, "Name it report,"),
        (["--audio-track", "1"], 2, "one sound track"),
        (["--audio-track", "-1"], 2, "audio_track"),
    ],
)
def test_a_refusal_is_one_line_with_the_remedy(
    arguments: list[str],
    code: int,
    words: str,
    media: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with computing(less_than=2.0):
        assert main(["dub", *media, "-o", str(tmp_path / "out.mp4"), *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("content", [None, b"", b"no media at all, just text\n" * 9])
def test_files_that_are_no_media(
    which: int,
    content: bytes | None,
    media: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = tmp_path / "bad"
    if content is not None:
        bad.write_bytes(content)
    given = list(media)
    given[which] = str(bad)
    assert main(["dub", *given, "-o", str(tmp_path / "out.mp4")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not list(tmp_path.glob("*.mp4")) + list(tmp_path.glob(".lipserve*"))


def test_nothing_listens(media: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{taken.getsockname()[1]}"
        with computing(less_than=2.0):
            assert main(["dub", *media, "-o", str(tmp_path / "out.mp4"), "--url", url]) == 4
        assert "lipserve serve" in capsys.readouterr().err
        assert main(["health", "--url", url]) == 4
        assert main(["models", "--url", url]) == 4


def test_serve_without_models_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--repository", str(tmp_path / "absent")]) == 5
    assert "lipserve export" in capsys.readouterr().err


def test_serve_without_its_extra_says_which(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["serve", "--repository", str(exported)]) == 5
    assert "pip install 'lipserve[server]'" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_cancels_and_leaves_nothing(
    number: signal.Signals,
    start_triton: StartTriton,
    media: tuple[str, str],
    tmp_path: Path,
) -> None:
    triton = start_triton()
    triton.script.append(Failing(grpc.StatusCode.UNAVAILABLE, "late", 60))
    command = [sys.executable, "-c", "from lipserve_cli.main import main; raise SystemExit(main())"]
    process = subprocess.Popen(
        [*command, "dub", *media, "-o", str(tmp_path / "out.mp4"), "--url", triton.url],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert triton.working.wait(60)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said == "interrupted\n"
    assert triton.cancelled.wait(50)
    assert not list(tmp_path.glob("*.mp4")) + list(tmp_path.glob(".lipserve*"))


def test_a_command_leaves_the_callers_handler_and_runs_in_any_thread(tmp_path: Path) -> None:
    command = ["dub", "film.mp4", "speech.wav", "-o", str(tmp_path / "absent/out.mp4")]
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert main(command) == 2
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(main, command).result() == 2


def test_the_flags_of_tls(
    start_triton: StartTriton, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority(tmp_path, "lipserve.video.svc")
    triton = start_triton(authority.server(mutual=True))
    name = ["--tls-name", "lipserve.video.svc"]
    files = {name: str(tmp_path / name) for name in ("ca.pem", "client.pem", "client.key")}
    flags = ["--tls-ca", files["ca.pem"], "--tls-cert", files["client.pem"], "--tls-key", files["client.key"]]
    assert main(["health", "--url", triton.url, *flags, *name]) == 0
    assert main(["health", "--url", triton.url, *flags]) == 4
    assert main(["health", "--url", triton.url, *flags[:2], *name]) == 4
    capsys.readouterr()


def test_a_source_is_written_whole_or_not_at_all(
    start_triton: StartTriton, media: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out/person.source"
    target.parent.mkdir()
    triton = start_triton()
    triton.script.append(Failing(grpc.StatusCode.INVALID_ARGUMENT, "[lipserve:invalid_video] No. Send one."))
    command = ["prepare", media[0], "-o", str(target), "--url", triton.url, "--face", "3,4"]
    assert main(command) == 2
    assert capsys.readouterr().err == "error: No. Send one.\n"
    assert list(target.parent.iterdir()) == []
    assert triton.calls == ["lipwarp_prepare"]
    assert main(["prepare", media[0], "-o", media[0], "--url", triton.url]) == 2
    assert "one of the inputs" in capsys.readouterr().err


def test_a_terminal_gets_no_film(
    media: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["dub", *media, "-o", "-"]) == 2
    assert main(["prepare", media[0], "-o", "-"]) == 2
    assert capsys.readouterr().err.count("Redirect it") == 2


def test_a_file_name_cannot_write_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;owned\x07.mp4"
    assert main(["dub", evil, "speech.wav", "-o", "out.mp4"]) == 2
    with pytest.raises(SystemExit):
        main(["dub", "a.mp4", "b.wav", evil, "-o", "out.mp4"])
    said = capsys.readouterr()
    assert "owned" in said.err
    assert not {"\x1b", "\x07"} & set(said.out + said.err)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("who: Ada", "cannot be read: not JSON. Give a JSON file such as"),
        ('{"who": "Ada"}', "Option consent.when is missing. Give as consent: "),
        ("[]", "Option consent=[]: it should be a valid dictionary"),
    ],
)
def test_a_record_of_consent_that_is_wrong_is_told_with_its_form(
    media: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, told: str
) -> None:
    path = tmp_path / "consent.json"
    path.write_text(content)
    assert main(["dub", *media, "-o", str(tmp_path / "out.mp4"), "--consent", str(path)]) == 2
    assert told in capsys.readouterr().err
