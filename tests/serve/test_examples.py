"""The programs of examples/, run as a reader runs them, against a real server."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from pathlib import Path

import av
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from numpy.typing import NDArray

from demo import portrait
from lipserve import audio
from lipserve.contracts import SAMPLE_RATE
from tests.support.local_service import LocalService
from tests.support.servers import RunningServer

from .conftest import ROOT

pytestmark = pytest.mark.serve

EXAMPLES = ROOT / "examples"
Files = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def clip() -> bytes:
    """Two seconds of a face."""
    return portrait.clip(2.0, (256, 256))


@pytest.fixture
def files(tmp_path: Path, clip: bytes) -> Files:
    """Two seconds of a face, and two speeches, of one and of two seconds."""
    video, one, two = (tmp_path / name for name in ("video.mp4", "one.wav", "two.wav"))
    video.write_bytes(clip)
    one.write_bytes(audio.wav(voice(1)))
    two.write_bytes(audio.wav(voice(2)))
    return video, one, two


def voice(seconds: int) -> NDArray[np.float32]:
    """Return a tone that rises and falls three times a second, 16 kHz."""
    at = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    return (0.3 * np.sin(2 * np.pi * 3 * at) ** 2 * np.sin(2 * np.pi * 180 * at)).astype(np.float32)


def run(name: str, *words: str | Path) -> str:
    """Return what an example prints."""
    (path,) = EXAMPLES.glob(f"{name}_*.py")
    done = subprocess.run([sys.executable, path, *words], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def frames(path: Path) -> int:
    """Return how many frames an MP4 with sound has."""
    with av.open(str(path)) as container:
        assert {stream.type for stream in container.streams} == {"video", "audio"}
        return container.streams.video[0].frames


def test_file_to_file(server: RunningServer, files: Files, tmp_path: Path) -> None:
    said = run("01", files[0], files[1], tmp_path / "out.mp4", server.url)
    assert "out.mp4: 25 frames" in said
    assert frames(tmp_path / "out.mp4") == 25


def test_a_refusal_of_file_to_file_is_one_sentence(tmp_path: Path) -> None:
    words = [sys.executable, EXAMPLES / "01_file_to_file.py", *3 * [tmp_path / "none.mp4"]]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "none.mp4" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_speeches_over_two_addresses(server: RunningServer, files: Files) -> None:
    same = server.url.replace("127.0.0.1", "localhost")
    said = run("02", files[0], f"{server.url},{same}", files[1], files[2])
    assert said.count("frames in") == 2
    assert [frames(Path(f"{speech}.mp4")) for speech in files[1:]] == [25, 50]


def test_own_crops(server: RunningServer, tmp_path: Path) -> None:
    crops = np.full((25, 96, 96, 3), 128, np.uint8)
    np.save(tmp_path / "crops.npy", crops)
    np.save(tmp_path / "speech.npy", voice(1))
    said = run("03", *(tmp_path / f"{name}.npy" for name in ("crops", "speech", "spoken")), server.url)
    assert said.startswith("25 crops")
    spoken = np.load(tmp_path / "spoken.npy")
    assert (spoken.shape, spoken.dtype) == (crops.shape, np.uint8)
    assert (spoken != crops).any()


def test_plain_grpc_needs_nothing_of_lipserve(server: RunningServer, files: Files, tmp_path: Path) -> None:
    assert "25 frames" in run("04", files[0], files[1], tmp_path / "out.mp4", server.url)
    assert frames(tmp_path / "out.mp4") == 25
    program = (EXAMPLES / "04_plain_grpc.py").read_text().splitlines()
    assert not [line for line in program if line.startswith(("import lipserve", "from lipserve"))]


def test_one_video_for_two_speeches(server: RunningServer, files: Files) -> None:
    video, one, two = files
    assert "video.mp4.source: " in run("05", video, server.url, one, two)
    assert [frames(Path(f"{speech}.mp4")) for speech in (one, two)] == [25, 50]
    assert ".source" not in run("05", video, server.url, one)


def test_each_person_speaks_a_speech_of_their_own(server: RunningServer, clip: bytes, tmp_path: Path) -> None:
    video, speech, out = (tmp_path / name for name in ("video.mp4", "one.wav", "out.mp4"))
    video.write_bytes(clip)
    with wave.open(str(speech), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((voice(1) * 32767).astype("<i2").tobytes())
    said = run("07", video, out, server.url, speech)
    assert "1: seen 2.0 s" in said
    assert "out.mp4: 50 frames, 25 of them untouched" in said
    assert (tmp_path / "out.mp4.png").read_bytes().startswith(b"\x89PNG")


def test_jobs_are_sent_and_fetched_later(service: LocalService, files: Files, tmp_path: Path) -> None:
    batch = run("08", "send", files[0], service.url, files[1], files[2]).strip()
    said = run("08", "fetch", tmp_path, service.url, batch)
    assert "2 of 2 jobs" in said
    assert [frames(tmp_path / f"{name}.mp4") for name in ("one", "two")] == [25, 50]


def test_tests_without_a_server() -> None:
    words = ["-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider"]
    program = EXAMPLES / "06_tests_without_a_server.py"
    done = subprocess.run([sys.executable, *words, program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_the_notebook_shows_the_clip_before_and_after(
    server: RunningServer, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LIPSERVE_URL": server.url, "VIDEO": files[0], "SPEECH": files[1]}.items():
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(EXAMPLES / "dub_a_clip.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "outputs are not committed"
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert "25 frames" in "".join(output.get("text", "") for output in outputs)
    (figure,) = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(figure) > 20_000
    assert frames(tmp_path / "dubbed.mp4") == 25
