"""How well the weights that come with LipServe talk, on sentences and a person that they never met."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lipserve_export.wav2lip import shipped
from lipserve_training.cli import main
from lipserve_training.train import recipe


@pytest.mark.slow
def test_they_move_the_lips_as_the_speech_asks(
    shared_data: Callable[[str], Path], exported: Path, tmp_path: Path
) -> None:
    names = ("video/LipNet__sbia1a.mpg", "grid/s1/bbal7s.mpg", "grid/s1/lgam1a.mpg")
    speakers = tmp_path / "speakers"
    speakers.write_text("LipNet__sbia1a.mpg s3\nbbal7s.mpg s1\nlgam1a.mpg s1\n")
    words = ["evaluate", "--checkpoint", shipped(), "--clips", *map(shared_data, names), "--wrong", 2]
    words += ["--speakers", speakers, "--recipe", recipe.find("grid_student"), "--models", exported]
    assert main([str(word) for word in [*words, "-o", tmp_path / "out"]]) == 0
    found = json.loads((tmp_path / "out/report.json").read_text())
    assert found["lip_motion_agreement"]["heldout_median"] >= 0.5
    assert abs(found["lip_motion_agreement"]["heldout_lag_frames"]) <= 1
    assert found["mouth_open_on_silence"] < 0.15
    assert found["sharpness_ratio"] >= 0.7
    assert found["border_step"] < 4
    for row in found["clips"]:
        assert row["agreement"] > max(row["wrong_audio"])
        assert row["generated"]["auc"] >= 0.75
