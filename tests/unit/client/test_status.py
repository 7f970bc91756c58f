"""Whose requests pass through a model."""

from __future__ import annotations

import pytest

from lipserve_client._status import _tiers_of


@pytest.mark.parametrize(
    ("model", "tiers"),
    [
        ("face_detector", ""),  # every tier's
        ("lipwarp", "lipwarp"),
        ("lipwarp_prepare", "lipwarp"),
        ("lip_renderer", "lipwarp"),
        ("wav2lip_generator", "wav2lip"),
        ("denoise_step", "latentsync"),
        ("postprocess", "wav2lip, latentsync"),
        ("somebody_elses", ""),
    ],
)
def test_a_model_belongs_to_the_tiers_that_use_it(model: str, tiers: str) -> None:
    assert _tiers_of(model) == tiers
