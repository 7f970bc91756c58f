from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve_server.inside.stages.wav2lip_generate import Wav2LipGenerate

Heard = list[NDArray[np.float32]]


def heard(repository: Path, options: dict[str, Any]) -> NDArray[np.float32]:
    """Return the mel windows that the generator leaf is given for 40 frames of a chirp."""
    windows: Heard = []

    def leaves(model: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        windows.append(inputs["MEL"])
        return {"GENERATED": inputs["FACES"]}

    seconds = np.arange(32000) / 16000
    chirp = (0.3 * np.sin(2 * np.pi * (100 * seconds + 975 * seconds**2))).astype(np.float32)
    stage = Wav2LipGenerate(repository, leaves)
    stage(np.zeros((40, 96, 96, 3), np.uint8), chirp, None, json.dumps({"fps": "25", **options}).encode())
    return np.concatenate(windows)


def with_offset(folder: Path, offset: float) -> Path:
    manifest = folder / "wav2lip_generator" / "1" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"model": "wav2lip_generator", "weights": "x", "mel_offset_ms": offset}))
    return folder


def test_a_generator_is_served_with_the_offset_that_it_was_trained_with(tmp_path: Path) -> None:
    plain = heard(tmp_path / "none", {})
    trained = heard(with_offset(tmp_path, -40), {})
    assert not np.array_equal(plain, trained)
    assert np.array_equal(trained, heard(tmp_path / "none", {"sync_offset_ms": -40}))
    assert np.array_equal(trained[0, 0, :, 3:], plain[0, 0, :, :-3])  # three columns of 12.5 ms earlier


def test_a_request_may_move_it_further(tmp_path: Path) -> None:
    together = heard(with_offset(tmp_path, -40), {"sync_offset_ms": 40})
    assert np.array_equal(together, heard(tmp_path / "none", {}))


def test_an_absurd_offset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mel_offset_ms"):
        heard(with_offset(tmp_path, 1e6), {})
