"""`lipserve check` and `lipserve estimate` with a real server: any video is measured, and a call foretold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipserve import Client, audio
from lipserve.segments import SegmentLength
from lipserve_cli.main import main
from lipserve_client import _check
from tests.support.servers import RunningServer

pytestmark = pytest.mark.serve

TALKING = "video/LipNet__lbbc2a.mpg"  # 75 frames


def test_true_wrong_and_dubbed_speech_are_told_apart(
    client: Client, shared_data: Callable[[str], Path], speech: Path
) -> None:
    path = shared_data(TALKING)
    other = audio.wav(audio.load(speech)[: 3 * 16_000])
    (true,) = client.check(path).faces
    (wrong,) = client.check(path, other).faces
    dubbed = client.dub(path, other)
    (made,) = client.check(dubbed.content).faces
    assert (true.finding, wrong.finding, made.finding) == ("in_sync", "disagree", "in_sync")
    assert min(true.agreement or 0, made.agreement or 0) > 0.7
    quality = dubbed.report.quality
    assert quality is not None
    assert quality.agreement == pytest.approx(made.agreement, abs=0.16)  # a sample before the encoder
    assert dubbed.report.driven_frames == 75


def test_painted_lips_are_measured_in_their_report(
    client: Client, shared_data: Callable[[str], Path], speech: Path
) -> None:
    dubbed = client.dub(shared_data(TALKING), speech, tier="wav2lip", on_length_mismatch="cut")
    quality = dubbed.report.quality
    assert quality is not None
    assert (quality.unheard, quality.samples) == ("", 13)  # every sixth of 75 frames
    assert quality.agreement is not None
    assert quality.agreement > 0.2
    assert quality.sharpness is not None


def test_a_video_of_several_pieces_is_one(
    client: Client, shared_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shared_data(TALKING)
    (whole,) = client.check(path).faces
    monkeypatch.setattr(_check, "_PIECE", SegmentLength(seconds=1.0))
    (joined,) = client.check(path).faces
    assert joined.seen == whole.seen == 3
    assert joined.agreement == pytest.approx(whole.agreement, abs=0.03)
    assert joined.offset_ms == whole.offset_ms


def test_the_commands_print_what_they_found(
    server: RunningServer,
    shared_data: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, figures = shared_data(TALKING), tmp_path / "figures.json"
    assert main(["check", str(path), "--url", server.url, "--json", str(figures)]) == 0
    assert "the lips follow the speech" in capsys.readouterr().out
    told = json.loads(figures.read_text())
    assert [second["second"] for second in told["faces"][0]["seconds"]] == [0, 1, 2]
    assert np.ptp([second["box"][0] for second in told["faces"][0]["seconds"]]) < 60
    assert main(["check", str(path), "--json", str(path), "--url", server.url]) == 2
    capsys.readouterr()
    command = ["estimate", str(path), str(path), "--url", server.url, "--price-per-hour", "1", "--json"]
    assert main(command) == 0
    estimate = json.loads(capsys.readouterr().out)
    assert (estimate["frames"], estimate["segments"], estimate["width"]) == (
        74,
        1,
        360,
    )  # as long as the sound
    assert 0 < estimate["least_seconds"] < estimate["wait_seconds"] < estimate["most_seconds"]
    assert estimate["cost"] > 0
