from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lipserve.contracts import PROFILES
from lipserve.tiers import LATENTSYNC, WAV2LIP, CropForm
from lipserve_server.repository.manifest import read_crops, read_weights


def told(repository: Path, leaf: str, **fields: Any) -> Path:
    manifest = repository / leaf / "1" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"model": leaf, "weights": "x", **fields}))
    return repository


def test_the_crops_are_those_that_the_generator_was_exported_with(tmp_path: Path) -> None:
    told(tmp_path, "wav2lip_generator", framing="box")
    told(tmp_path, "denoise_step", resolution=512, channels=8)
    assert read_crops(tmp_path, WAV2LIP) == CropForm(framing="box")
    assert read_crops(tmp_path, LATENTSYNC) == CropForm(512)


def test_a_generator_of_a_release_before_has_aligned_ones(tmp_path: Path) -> None:
    told(tmp_path, "wav2lip_generator", mel_offset_ms=-40)
    assert read_crops(tmp_path, WAV2LIP) == CropForm(framing="similarity")
    assert read_crops(tmp_path / "none", WAV2LIP) == CropForm()


def test_an_unknown_framing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="framing"):
        read_crops(told(tmp_path, "wav2lip_generator", framing="boxes"), WAV2LIP)


def test_weights_are_told_with_the_graph_that_a_profile_serves(tmp_path: Path) -> None:
    files = [
        {"name": "model.onnx", "precision": "fp32", "sha256": "a" * 64},
        {"name": "model.fp16.onnx", "precision": "fp16", "sha256": "b" * 64},
        {"name": "model.fp16.onnx.data", "precision": "fp16", "sha256": "c" * 64},
    ]
    told(tmp_path, "wav2lip_generator", weights="mine.pth, sha256 0", files=files)
    served = {profile: read_weights(tmp_path, WAV2LIP, profile) for profile in PROFILES}
    single, half = (f"mine.pth, sha256 0; wav2lip_generator sha256 {letter * 64}" for letter in "ab")
    assert served == {"tensorrt": half, "onnx": single, "embedded": single}


def test_of_a_graph_without_a_digest_the_origin_alone_is_told(tmp_path: Path) -> None:
    assert read_weights(told(tmp_path, "wav2lip_generator"), WAV2LIP, "onnx") == "x"
    assert read_weights(tmp_path / "none", WAV2LIP, "onnx") == "unknown"
