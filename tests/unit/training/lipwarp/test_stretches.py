from __future__ import annotations

import numpy as np
import pytest
import torch

from lipserve_export.lipwarp.motion_network import SILENCE
from lipserve_training.lipwarp.footage import Footage, reaches
from lipserve_training.lipwarp.hearing import Heard
from lipserve_training.lipwarp.phones import UNKNOWN, Labels
from lipserve_training.lipwarp.recipes import MotionRecipe
from lipserve_training.lipwarp.stretches import Stretches

TRAINED = 3


def labels() -> list[Labels]:
    """Every row of a clip says its own number, and 100 for each clip."""
    return [100 * clip + np.arange(24) for clip in range(TRAINED)]


def drawn(clips: list[Footage], heard: Heard, recipe: MotionRecipe, **changes: object) -> Stretches:
    changed = {
        **recipe.model_dump(),
        **{name: {**getattr(recipe, name).model_dump(), **value} for name, value in changes.items()},
    }  # type: ignore[dict-item]
    return Stretches(clips[:TRAINED], labels(), heard, MotionRecipe.model_validate(changed), 3)


def test_shapes_and_kinds_of_a_batch(clips: list[Footage], heard: Heard, recipe: MotionRecipe) -> None:
    batch = drawn(clips, heard, recipe)(0)
    assert tuple(batch.heard.shape) == (3, 2, 20, 160)
    assert tuple(batch.shapes.shape) == (3, 2, 10, 8)
    assert tuple(batch.phones.shape) == (3, 2, 20)
    assert batch.heard.dtype == batch.shapes.dtype == torch.float32
    assert batch.valid.all()


def test_a_batch_depends_on_seed_and_step_alone(
    clips: list[Footage], heard: Heard, recipe: MotionRecipe
) -> None:
    one, same = drawn(clips, heard, recipe)(5), drawn(clips, heard, recipe)(5)
    assert all(torch.equal(value, vars(same)[name]) for name, value in vars(one).items())
    assert not torch.equal(one.heard, drawn(clips, heard, recipe)(6).heard)
    assert not torch.equal(one.heard, drawn(clips, heard, recipe, run={"seed": 1})(5).heard)
    assert not torch.equal(one.heard[0], one.heard[1])  # every member has draws of its own


def test_sound_pictures_and_phones_of_a_stretch_belong_together(
    clips: list[Footage], heard: Heard, recipe: MotionRecipe
) -> None:
    """The rows tell which clip and frame they are of: the shapes are that frame's, over the reach."""
    draws = drawn(clips, heard, recipe, run={"stretches": 8}, hearing={"quiet": 0})
    reach = reaches(clips[:TRAINED])
    for step in range(4):
        batch = draws(step)
        for said, shown in zip(batch.phones.flatten(0, 1), batch.shapes.flatten(0, 1), strict=True):
            clip, rows = int(said[0]) // 100, said.numpy() % 100
            own = clips[clip].shapes / reach[clips[clip].entry.speaker]
            expected = np.stack([np.interp(rows[::2] / 2, np.arange(12), own[:, k]) for k in range(8)], 1)
            np.testing.assert_allclose(shown.numpy(), expected, atol=0.2)
            assert abs(np.diff(rows)).max() <= 2


def test_held_out_speakers_are_never_drawn(clips: list[Footage], heard: Heard, recipe: MotionRecipe) -> None:
    draws = drawn(clips, heard, recipe, run={"stretches": 16})
    own = {s.values.tobytes() for s in heard.stretches if s.clip == TRAINED}
    assert all(stretch.values.tobytes() not in own for stretch in draws._stretches)
    assert len(draws._stretches) == 2 * TRAINED


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_mouth_is_closed_at_sounds_that_are_no_speech(
    share: float, clips: list[Footage], heard: Heard, recipe: MotionRecipe
) -> None:
    batch = drawn(clips, heard, recipe, run={"stretches": 40}, hearing={"quiet": share})(0)
    quiet = (batch.phones == SILENCE).all(-1)
    assert abs(float(quiet.float().mean()) - share) < 0.17
    assert float(batch.shapes[quiet].abs().sum()) == 0
    kept = torch.from_numpy(heard.judged.astype(np.float32))
    assert not any(torch.isin(piece, kept).all() for piece in batch.heard[quiet])


def test_a_stretch_that_is_too_short_says_so(
    clips: list[Footage], heard: Heard, recipe: MotionRecipe
) -> None:
    batch = drawn(clips, heard, recipe, run={"frames": 20}, hearing={"quiet": 0})(0)
    count = batch.valid.sum(-1)
    assert (count < 20).all()
    for valid, said in zip(batch.valid.flatten(0, 1), batch.phones.flatten(0, 1), strict=True):
        np.testing.assert_array_equal(valid.repeat_interleave(2), said != UNKNOWN)


def test_speakers_are_drawn_by_the_root_of_their_length(
    clips: list[Footage], heard: Heard, recipe: MotionRecipe
) -> None:
    """Ann has two clips, ben one of the same length."""
    draws = drawn(clips, heard, recipe)
    chances = dict.fromkeys(("ann", "ben"), 0.0)
    for stretch, chance in zip(draws._stretches, draws._chances, strict=True):
        chances[clips[stretch.clip].entry.speaker] += chance
    assert chances["ann"] / chances["ben"] == pytest.approx(2**0.5)
