from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from lipserve import audio
from lipserve.errors import SetupError
from lipserve_export.graphs import runtime
from lipserve_export.wav2lip.checkpoints import load_generator
from lipserve_export.wav2lip.generator import wav2lip_generator
from lipserve_training.evaluate.leaves import Leaves


def test_a_checkpoint_takes_the_place_of_the_repositorys_generator(exported: Path, checkpoint: Path) -> None:
    rng = np.random.default_rng(2)
    given = {
        "MEL": rng.normal(0, 1, (3, 1, 80, 16)).astype(np.float32),
        "FACES": rng.integers(0, 256, (3, 96, 96, 3), np.uint8),
    }
    own, other = Leaves(exported, ["wav2lip"]), Leaves(exported, ["wav2lip"], checkpoint)
    served = runtime.session(wav2lip_generator(load_generator(checkpoint)[0]))
    expected = runtime.run(served, given)["GENERATED"]
    np.testing.assert_array_equal(other("wav2lip_generator", given)["GENERATED"], expected)
    assert (own("wav2lip_generator", given)["GENERATED"] != expected).any()
    assert other.mel_offset_ms == -40
    assert other.weights["wav2lip"].startswith("random.pth, sha256 ")
    assert own.weights["wav2lip"].startswith("wav2lip_grid.pth")


def test_a_tier_brings_its_own_networks(exported: Path) -> None:
    leaves = Leaves(exported, ["lipwarp"])
    assert set(leaves.weights) == {"lipwarp"}
    assert leaves.weights["lipwarp"].count("sha256") == 3
    mel = audio.mel_whisper(np.zeros(800 * 160, np.float32))[None]
    states = leaves("speech_encoder", {"MEL": mel}, ["STATES"])
    assert set(states) == {"STATES"}
    assert leaves("lip_motion", states)["SHAPES"].shape == (1, 400, 8)


def test_a_missing_leaf_is_named_with_its_export(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="holds no face_detector") as caught:
        Leaves(tmp_path, ["lipwarp"])
    assert "lipserve export all -o" in caught.value.remedy
    for leaf in ("face_detector", "face_landmarks"):
        shutil.copytree(exported / leaf, tmp_path / leaf)
    (tmp_path / "wav2lip_generator/1").mkdir(parents=True)
    (tmp_path / "wav2lip_generator/1/model.onnx").write_bytes(b"no graph")
    with pytest.raises(SetupError, match="is damaged"):
        Leaves(tmp_path, ["wav2lip"])
