"""The weights that come with LipServe."""

from __future__ import annotations

from pathlib import Path

import torch

from lipserve_export.checkpoints import load_generator, read_mel_offset, read_state
from lipserve_export.models.wav2lip import VARIANTS
from lipserve_export.wav2lip import shipped


def test_they_are_small_and_the_compressed_generator_s() -> None:
    assert shipped().stat().st_size <= 3_000_000
    model, _ = load_generator(shipped())
    assert model.variant == VARIANTS["compressed"]
    assert read_mel_offset(shipped()) == -40
    kinds = {value.dtype for value in read_state(shipped()).values()}
    assert kinds == {torch.float16, torch.int64}


def test_their_card_names_them_and_their_source() -> None:
    _, digest = load_generator(shipped())
    card = (Path(__file__).parents[3] / "weights/README.md").read_text()
    assert f"`{digest}`" in card
    assert "doi:10.5281/zenodo.3625687, CC BY 4.0" in card
