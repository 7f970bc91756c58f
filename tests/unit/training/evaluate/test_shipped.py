"""How well the weights that come with LipServe talk, on people that they never met."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.programs import train as main


@pytest.mark.whole
@pytest.mark.slow
def test_shipped_weights_move_the_lips_as_the_speech_asks(
    shared_data: Callable[[str], Path], exported: Path, tmp_path: Path
) -> None:
    """In `make test`, test_command.py runs the command, and serve/test_check.py hears shipped weights."""
    names = ("video/LipNet__sbia1a.mpg", "video/LipNet__lrwp9a.mpg")
    words = ["evaluate", "--clips", *map(shared_data, names), "--wrong", 1, "--models", exported]
    assert main([str(word) for word in [*words, "-o", tmp_path / "out"]]) == 0
    found = json.loads((tmp_path / "out/report.json").read_text())
    wav2lip, lipwarp = (found["tiers"][tier] for tier in ("wav2lip", "lipwarp"))
    assert wav2lip["agreement_grid_median"] >= 0.5
    assert lipwarp["agreement_grid_min"] >= 0.8
    assert set(lipwarp["lags_grid"]) <= {0, 1}
    assert lipwarp["right_above_wrong_share"] == 1
    assert max(wav2lip["open_on_silence"], lipwarp["open_on_silence"]) < 0.15
    assert lipwarp["lip_leak"] == 0
    assert lipwarp["sharpness_min"] > 0.75 > 0.6 > wav2lip["sharpness_median"] > 0.3
    assert max(wav2lip["border_step"], lipwarp["border_step"]) < 4
