"""What goes wrong around a request: a client that disappears, a disk that is full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lipserve import Client, SetupError, audio
from tests.support.servers import RunningServer
from tests.support.waiting import until

pytestmark = pytest.mark.serve


def test_a_client_that_disappears_leaves_the_server_free(
    server: RunningServer,
    client: Client,
    portrait_clip: bytes,
    speech: Path,
    short_speech: bytes,
    tmp_path: Path,
) -> None:
    clip, long = tmp_path / "clip.mp4", tmp_path / "speech.wav"
    clip.write_bytes(portrait_clip)
    long.write_bytes(audio.wav(np.resize(audio.load(speech), 30 * 16000)))  # so that it is seen at work
    program = "import sys, lipserve_client as c; c.Client(sys.argv[1]).dub(*sys.argv[2:])"
    arguments = [server.url, str(clip), str(long)]
    process = subprocess.Popen([sys.executable, "-c", program, *arguments])
    until(server.in_flight, "it is not begun")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    looks = [server.in_flight()]

    def is_quiet() -> bool:
        """Ten looks in a row: between two stages a segment is in neither."""
        looks.append(server.in_flight())
        return len(looks) >= 10 and not any(looks[-10:])

    until(is_quiet, "it goes on")
    assert client.dub(portrait_clip, short_speech).report.frames == 50


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 128 KiB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(tmp_path)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_full_output_disk_is_a_typed_error_that_leaves_nothing(
    client: Client, portrait_clip: bytes, speech: Path, small_disk: Path
) -> None:
    with pytest.raises(SetupError, match="full"):
        client.dub(portrait_clip, speech, output=small_disk / "out.mp4")
    assert list(small_disk.iterdir()) == []


def test_a_full_temporary_directory_is_a_typed_error_and_the_next_request_works(
    client: Client,
    portrait_clip: bytes,
    speech: Path,
    short_speech: bytes,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(small_disk))
        with pytest.raises(SetupError, match="full"):
            client.dub(portrait_clip, speech)
        assert list(small_disk.iterdir()) == []
    assert client.dub(portrait_clip, short_speech).report.frames == 50
