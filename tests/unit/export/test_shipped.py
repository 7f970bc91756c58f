"""The weights that come with LipServe, and how they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lipserve.errors import SetupError
from lipserve_export import fetch, wav2lip
from lipserve_export.checkpoints import load_generator, read_mel_offset, read_state
from lipserve_export.models.wav2lip import VARIANTS

WEIGHTS = Path(__file__).parents[3] / "weights"


def test_the_generator_is_small_and_the_compressed_one() -> None:
    path = wav2lip.shipped()
    assert path.stat().st_size <= 3_000_000
    model, _ = load_generator(path)
    assert model.variant == VARIANTS["compressed"]
    assert read_mel_offset(path) == -40
    assert {value.dtype for value in read_state(path).values()} == {torch.float16, torch.int64}


def test_its_card_names_it_and_its_source() -> None:
    _, digest = load_generator(wav2lip.shipped())
    card = (WEIGHTS / "wav2lip_grid.md").read_text()
    assert f"`{digest}`" in card
    assert "doi:10.5281/zenodo.3625687, CC BY 4.0" in card


def test_all_files_together_are_small_and_each_is_in_the_index() -> None:
    files = [path for path in WEIGHTS.iterdir() if path.suffix in (".pth", ".onnx")]
    assert sorted(path.stem for path in files) == [
        "face_detection_yunet_2026may",
        "wav2lip_grid",
    ]
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) <= 16_000_000
    index = (WEIGHTS / "README.md").read_text()
    assert all(f"`{path.name}`" in index for path in files)


def test_the_notice_of_others_lies_beside_their_file() -> None:
    notice = (WEIGHTS / "face_detection_yunet_2026may.LICENSE").read_text()
    assert notice.startswith("MIT License")
    assert "Shiqi Yu" in notice


def test_the_detector_is_the_one_that_is_pinned() -> None:
    assert fetch.file_sha256(fetch.shipped_file(fetch.YUNET.name)) == fetch.YUNET.sha256


def test_a_file_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(SetupError, match=r"nothing\.onnx is not installed") as caught:
        fetch.shipped_file("nothing.onnx")
    assert "pip install" in caught.value.remedy
