"""Keys and tokens: where they come from, what gRPC takes, and that no error repeats them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipserve import Client, read_headers
from lipserve.errors import LipServeError, OptionsError, SetupError
from lipserve_cli.main import main
from lipserve_client._headers import HEADERS_VARIABLE, metadata
from tests.support.scripted_triton import StartTriton

SECRET = "Tr0ub4dor"


def test_lines_come_from_the_environment_files_and_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    file.write_text("# of the studio\r\n\r\nX-Api-Key=from a file\n  b=2=3\n")
    monkeypatch.setenv(HEADERS_VARIABLE, "x-api-key=from the environment\nc=")
    assert read_headers() == {"x-api-key": "from the environment", "c": ""}
    assert read_headers([f"@{file}"]) == {"x-api-key": "from a file", "b": "2=3", "c": ""}
    assert read_headers([f"@{file}", "x-api-key=given"])["x-api-key"] == "given"
    assert read_headers(["x-api-key=given", f"@{file}"])["x-api-key"] == "from a file"


def test_a_pipe_is_a_file_too() -> None:
    """As in `--header @<(pass show studio)`."""
    reader, writer = os.pipe()
    thread = threading.Thread(target=lambda: (os.write(writer, b"x-api-key=k\n"), os.close(writer)))
    thread.start()
    assert read_headers([f"@/dev/fd/{reader}"]) == {"x-api-key": "k"}
    thread.join()
    os.close(reader)


@pytest.mark.parametrize(
    "given",
    [
        SECRET,
        f"={SECRET}",
        f"Authorization: Bearer {SECRET}==",  # as curl has it
        f"x key={SECRET}",
        f"@{SECRET}",
        f"{SECRET}\0=1",
        f"näme={SECRET}",
    ],
)
def test_a_text_that_is_no_header_is_refused_and_never_repeated(given: str) -> None:
    with pytest.raises((OptionsError, SetupError)) as refused:
        read_headers([given])
    assert SECRET not in str(refused.value)
    assert refused.value.remedy


def test_files_that_hold_no_headers_are_refused(tmp_path: Path) -> None:
    contents = {"binary": b"\xff\xfe", "large": b"x" * 70_000, "secret": f"{SECRET}\n".encode()}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(OptionsError) as refused:
            read_headers([f"@{tmp_path / name}"])
        assert SECRET not in str(refused.value)
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(SetupError, match="cannot be read"):
            read_headers([f"@{path}"])


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("X-Key", "a b", "a b"),
        ("x-bin", b"\0\xff", b"\0\xff"),
        ("x-bin", "AP8=", b"\0\xff"),
        ("x-bin", "AP8", b"\0\xff"),
        ("x-bin", "", b""),
    ],
)
def test_grpc_takes_texts_and_bytes(name: str, value: str | bytes, sent: str | bytes) -> None:
    assert metadata({name: value}) == {name.lower(): sent}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-bin", f"{SECRET}!"),
        ("x-bin", "ä"),
        ("x", f"{SECRET}\n"),
        ("x", f"{SECRET}ä"),
        ("x", SECRET.encode()),
        ("", SECRET),
        (":path", SECRET),
        ("x y", SECRET),
        ("grpc-timeout", "1S"),
    ],
)
def test_headers_that_grpc_would_refuse_are_refused_before(name: str, value: str | bytes) -> None:
    with pytest.raises(OptionsError) as refused:
        Client("127.0.0.1:1", headers={name: value})
    assert SECRET not in str(refused.value)


def test_headers_of_every_kind_arrive(
    start_triton: StartTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    triton = start_triton()
    monkeypatch.setenv(HEADERS_VARIABLE, f"x-api-key={SECRET}")
    (tmp_path / "keys").write_text("x-bin=AP8=\n")
    headers = read_headers([f"@{tmp_path / 'keys'}"])
    with Client(triton.url, headers=headers) as client, pytest.raises(LipServeError):
        client.prepare(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    (got,) = triton.metadata
    assert got["x-api-key"] == SECRET
    assert got["x-bin"] == str(b"\0\xff")


def test_a_command_with_a_binary_header_does_not_crash(
    start_triton: StartTriton, capsys: pytest.CaptureFixture[str]
) -> None:
    triton = start_triton()
    assert main(["health", "--url", triton.url, "--header", "x-bin=UzE="]) == 0
    assert main(["health", "--url", triton.url, "--header", f"x-bin={SECRET}!"]) == 2
    assert main(["health", "--url", triton.url, "--header", SECRET]) == 2
    said = capsys.readouterr()
    assert said.err.count("error: ") == 2
    assert SECRET not in said.err + said.out
