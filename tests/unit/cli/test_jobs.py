"""`lipserve jobs` without a service, and without the extra that runs one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lipserve_cli.main import main
from tests.support.ports import free_port

ID = "0193a5c0c3b8f2d7a6b1c4e5f6071829"
SENDING = [
    ["submit", "https://example.com/film.mp4", "https://example.com/a.wav"],
    ["list"],
    ["get", ID],
    ["wait", ID],
    ["cancel", ID],
    ["cancel", "--batch", ID],
    ["retry", ID],
    ["erase", ID],
    ["batch", "--show", ID],
    ["usage"],
]


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave nothing of the extra `jobs`."""
    for name in list(sys.modules):
        if name.startswith("lipserve_jobs"):
            monkeypatch.delitem(sys.modules, name)
    for name in ("lipserve_jobs", "nats", "obstore", "fastapi"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("without_extra")
@pytest.mark.parametrize("words", SENDING, ids=lambda words: words[0])
def test_what_sends_jobs_needs_no_extra_and_names_the_command_that_starts_a_service(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    assert main(["jobs", *words, "--url", url]) == 4
    said = capsys.readouterr().err
    assert f"No gateway answers at {url}" in said
    assert "lipserve jobs up" in said
    assert "lipserve[" not in said


@pytest.mark.usefixtures("without_extra")
@pytest.mark.parametrize("name", ["gateway", "worker", "up"])
def test_what_runs_the_service_names_the_extra(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", name]) == 5
    assert "pip install 'lipserve[jobs]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "../secret"], "is not the id of a job"),
        (["list", "--url", "127.0.0.1:8080"], "address of a gateway"),
        (["list", "--batch", "x"], "is not the id of a job"),
        (["cancel"], "No job is named"),
        (["submit", "/nowhere.mp4", "/nowhere.wav"], "/nowhere.mp4"),
        (["submit", "https://a/film.mp4", "https://a/b.wav", "--metadata", "x"], "--metadata x"),
        (["submit", "https://a/film.mp4", "https://a/b.wav", "-o", "out.wav"], "MP4"),
        (["batch", "/nowhere.csv"], "/nowhere.csv"),
    ],
)
def test_what_can_be_seen_here_is_refused_before_anything_is_sent(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["jobs", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "list", "--key-file", str(tmp_path / "none")]) == 5
    assert "Give a file with the key alone" in capsys.readouterr().err
