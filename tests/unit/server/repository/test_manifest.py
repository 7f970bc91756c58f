from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lipserve.tiers import LATENTSYNC, WAV2LIP, CropForm
from lipserve_server.repository.manifest import read_crops


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


def test_a_framing_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="framing"):
        read_crops(told(tmp_path, "wav2lip_generator", framing="boxes"), WAV2LIP)
