from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lipserve_export.lipwarp.motion_network import DIRECTIONS, LipMotion
from lipserve_training.lipwarp import hearing
from lipserve_training.lipwarp.footage import Footage
from lipserve_training.lipwarp.hearing import Heard, pieces
from lipserve_training.lipwarp.recipes import MotionRecipe


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (12, [(0, 12)]),
        (150, [(0, 150)]),
        (152, [(0, 150), (125, 152)]),
        (300, [(0, 150), (125, 275), (250, 300)]),
    ],
)
def test_a_long_clip_is_heard_in_pieces_that_overlap(frames: int, expected: list[tuple[int, int]]) -> None:
    assert pieces(frames) == expected


def test_every_clip_is_heard_clean_once_and_disguised(heard: Heard) -> None:
    assert [(stretch.clip, stretch.clean) for stretch in heard.stretches] == [
        (clip, clean) for clip in range(4) for clean in (True, False)
    ]
    for stretch in heard.stretches:
        assert stretch.values.shape == (2 * len(stretch), DIRECTIONS)
        assert stretch.values.dtype == np.float16
        assert np.isfinite(stretch.values).all()
        if stretch.clean:
            np.testing.assert_array_equal(stretch.places, np.arange(12))
    assert heard.sounds.shape == (8, 400, DIRECTIONS)
    assert (len(heard.judged), len(heard.taught)) == (1, 7)


def test_the_directions_are_centred_on_the_trained_clips_and_fall_in_strength(heard: Heard) -> None:
    clean = np.concatenate([s.values for s in heard.stretches if s.clean and s.clip < 3]).astype(np.float32)
    np.testing.assert_allclose(clean.mean(0), 0, atol=2e-3)
    assert clean.std(0)[0] == pytest.approx(1, abs=0.01)
    assert clean.std(0)[:20].min() > 2 * clean.std(0)[-20:].max()


def test_the_network_s_first_layers_give_what_is_kept(heard: Heard) -> None:
    motion = LipMotion()
    missing, unexpected = motion.load_state_dict(heard.directions, strict=False)
    assert not unexpected
    assert all(name.startswith("members.") for name in missing)
    assert motion.mean.abs().max() > 0
    assert torch.isfinite(motion.listen.weight).all()


def test_speech_that_was_encoded_is_not_encoded_again(
    dataset: Path, clips: list[Footage], recipe: MotionRecipe, heard: Heard
) -> None:
    told: list[int] = []
    again = hearing.hear(clips, 3, recipe.hearing, recipe.run.seed, dataset, lambda: told.append(1))
    assert not told
    for one, other in zip(heard.stretches, again.stretches, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    assert hearing._digest(clips, 2, recipe.hearing, 1247) != hearing._digest(clips, 3, recipe.hearing, 1247)
    quieter = recipe.hearing.model_copy(update={"quiet": 0.5})  # of the draw, not of what is heard
    assert hearing._digest(clips, 3, quieter, 1247) == hearing._digest(clips, 3, recipe.hearing, 1247)
