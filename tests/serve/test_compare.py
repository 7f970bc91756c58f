"""`lipserve compare`, as a user runs it, on a short clip."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
import torch
from numpy.typing import NDArray

from demo import portrait
from lipserve import audio
from lipserve.media import decode, probe
from lipserve_cli.compare.command import FILES
from lipserve_export.wav2lip.generator import random_generator
from lipserve_export.wav2lip.network import VARIANTS
from lipserve_server.launcher.processes import stubs
from tests.support.waiting import until

pytestmark = [pytest.mark.serve, pytest.mark.slow, pytest.mark.timeout(560)]

COMMAND = [sys.executable, "-c", "from lipserve_cli.main import main; raise SystemExit(main())", "compare"]
SECONDS, SIDE = 0.6, 256
FRAMES = 15


@pytest.fixture
def arguments(exported: Path, speech: Path, tmp_path: Path) -> list[str]:
    """A clip, as much of the speech, where to write, and whose face models to use."""
    (tmp_path / "clip.mp4").write_bytes(portrait.clip(SECONDS, (SIDE, SIDE)))
    (tmp_path / "speech.wav").write_bytes(audio.wav(audio.load(speech)[8000:][: round(SECONDS * 16_000)]))
    given = [tmp_path / "clip.mp4", tmp_path / "speech.wav", "-o", tmp_path / "out", "--repository", exported]
    return list(map(str, given))


def _luma(path: Path) -> NDArray[np.int16]:
    """Return the luma [N, H, W] of a video."""
    return np.stack([picture.y for picture in decode.read(path, probe.probe(path))]).astype(np.int16)


def _consistent(told: dict[str, Any]) -> None:
    assert told["frames"] == FRAMES
    assert told["faceless_frames"] == told["retries"] == 0
    assert told["fps"] == pytest.approx(told["frames"] / told["total_seconds"], rel=1e-3)
    assert sum(told["seconds"].values()) == pytest.approx(told["total_seconds"], abs=0.01)
    assert sum(told["share"].values()) == pytest.approx(1.0, abs=1e-3)
    for part, seconds in told["seconds"].items():
        assert told["share"][part] == pytest.approx(seconds / told["total_seconds"], abs=1e-3)
        assert seconds > 0
    assert 0.05 < told["generator_load_seconds"] < told["seconds"]["load"]


def test_compare_writes_both_results_side_by_side_and_the_cost_of_each(
    arguments: list[str], tmp_path: Path
) -> None:
    network = random_generator(VARIANTS["compressed"], 7)
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    # Elsewhere than in the checkout, so that no shipped weights are there.
    done = subprocess.run(
        [*COMMAND, *arguments, "--second", "mine.pth"],
        cwd=tmp_path, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    for words in (
        "36.3 M",
        "1.26 M",
        "28.9x",
        "52.9x",
        "original: random weights, seed 1247",
        "mine: mine.pth",
    ):
        assert words in done.stdout

    told = json.loads((folder / "compare.json").read_text())
    first, second = told["generators"]
    for each in (first, second):
        _consistent(each)
    assert (first["variant"], first["parameters"], first["random_weights"]) == ("original", 36_298_035, True)
    assert (second["variant"], second["parameters"], second["random_weights"]) == (
        "compressed",
        1_258_143,
        False,
    )
    assert (first["macs"], second["macs"]) == (3_966_984_192, 75_002_880)
    assert (first["framing"], second["framing"]) == ("similarity", "box")
    assert first["seconds"]["generate"] > second["seconds"]["generate"]

    infos = [probe.probe(folder / name) for name in FILES[:3]]
    assert [(info.width, info.height, info.frames) for info in infos] == [
        (SIDE, SIDE, FRAMES),
        (SIDE, SIDE, FRAMES),
        (2 * SIDE, SIDE, FRAMES),
    ]
    assert all(info.has_audio for info in infos)
    one, other, both = (_luma(folder / name) for name in FILES[:3])
    assert np.abs(one[:, : SIDE // 4] - other[:, : SIDE // 4]).mean() < 1.5  # the same head
    assert np.abs(one - other).max((1, 2)).min() > 40  # another mouth in every frame
    below = slice(SIDE // 8, None)  # the names
    assert np.abs(both[:, below] - np.concatenate([one, other], 2)[:, below]).mean() < 1.5

    sheet = cv2.imread(str(folder / "contact_sheet.png"))
    assert sheet.shape == (4 * 28 + 3 * 192 + 96, 1920, 3)
    rows = [sheet[28 + 220 * row :][:192].astype(int) for row in range(3)]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(rows[a] - rows[b]).reshape(192, 10, 192, 3).max((0, 2, 3)).min() > 40


def _server_of(pid: int) -> list[psutil.Process]:
    """Return the processes of the server that a process starts, as soon as its models' are among them."""
    started: list[psutil.Process] = []

    def serves() -> bool:
        started[:] = psutil.Process(pid).children(recursive=True)
        return any(_is_triton(child) and stubs(child.pid) for child in started)

    until(serves, "it starts no server")
    return started


def _is_triton(process: psutil.Process) -> bool:
    """Not so: the process that tries whether a stub runs at all."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.name() == "tritonserver")
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.whole)])
def test_an_interruption_leaves_no_server_and_no_file(
    number: signal.Signals, arguments: list[str], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--first", "compressed"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Running"):
            break
    started = _server_of(process.pid)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.endswith("interrupted\n")
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(started, timeout=30)
    assert not alive
    assert not (tmp_path / "out").exists()
