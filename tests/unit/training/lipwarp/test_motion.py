"""The motion's task, and its course."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lipserve.lipwarp.shapes import shipped_basis
from lipserve.quality import lips
from lipserve_export.lipwarp.motion_network import SILENCE, LipMotion
from lipserve_training.lipwarp.footage import Footage
from lipserve_training.lipwarp.hearing import Heard
from lipserve_training.lipwarp.motion import Judged, MotionTask
from lipserve_training.lipwarp.recipes import MotionRecipe
from lipserve_training.lipwarp.stretches import Batch, Stretches
from lipserve_training.train import checkpoint
from lipserve_training.train.loop import Trainer

CPU = torch.device("cpu")
FAST = {"steps": 30, "ema": 0.0, "learning_rate": 3e-3}


@pytest.fixture
def stretches(clips: list[Footage], heard: Heard, recipe: MotionRecipe) -> Stretches:
    said = [np.full(24, number) for number in range(3)]
    return Stretches(clips[:3], said, heard, recipe, 3)


@pytest.fixture
def task(heard: Heard, clips: list[Footage], stretches: Stretches) -> Callable[[MotionRecipe], MotionTask]:
    def make(settings: MotionRecipe) -> MotionTask:
        torch.manual_seed(7)
        judged = [Judged(3, clips[3].shapes, np.full(24, SILENCE))]
        return MotionTask(settings, heard, stretches.shapes, judged)

    return make


def changed(recipe: MotionRecipe, **losses: float) -> MotionRecipe:
    return recipe.model_copy(update={"losses": recipe.losses.model_copy(update=losses)})


def test_each_term_is_left_out_where_it_has_no_weight_and_doubles_with_it(
    task: Callable[[MotionRecipe], MotionTask], stretches: Stretches, recipe: MotionRecipe
) -> None:
    whole = task(recipe).losses(stretches(0), 0)
    assert set(whole) == {"shape", "gap", "velocity", "phones"}
    for name in whole:
        less = task(changed(recipe, **{name: 0.0}))
        less.network.eval()
        terms = less.losses(stretches(0), 0)
        assert set(terms) == set(whole) - {name}
    plain, doubled = task(recipe), task(changed(recipe, phones=0.6, shape=2.0))
    for one in (plain, doubled):
        one.network.eval()  # nothing is forgotten: the terms are comparable
    before, after = plain.losses(stretches(0), 0), doubled.losses(stretches(0), 0)
    assert float(after["phones"].detach()) == pytest.approx(2 * float(before["phones"].detach()))
    assert float(after["shape"].detach()) == pytest.approx(2 * float(before["shape"].detach()))


def test_perfect_shapes_cost_nothing(
    task: Callable[[MotionRecipe], MotionTask], stretches: Stretches, recipe: MotionRecipe
) -> None:
    own, batch = task(changed(recipe, phones=0.0)), stretches(0)
    own.network.eval()
    with torch.no_grad():
        told = torch.stack(
            [member(batch.heard[m])[0][:, 1::2] for m, member in enumerate(own.network.members)]
        )
    perfect = Batch(batch.heard, told, batch.phones, batch.valid)
    assert all(float(term.detach()) == 0 for term in own.losses(perfect, 0).values())
    apart = Batch(batch.heard, told + 0.1, batch.phones, batch.valid)
    terms = own.losses(apart, 0)
    assert float(terms["shape"].detach()) > 0
    assert float(terms["velocity"].detach()) == pytest.approx(0, abs=1e-9)  # it is off, and stays as far off


def test_the_network_is_told_how_shapes_part_the_lips(
    task: Callable[[MotionRecipe], MotionTask], recipe: MotionRecipe
) -> None:
    gap = lips.measured(shipped_basis())[:, 0]
    assert gap[0] > 0.1
    np.testing.assert_allclose(task(recipe).network.gap, gap, atol=1e-6)


def stop_after(step: int) -> Callable[[int, dict[str, float]], None]:
    def on_step(at: int, logged: dict[str, float]) -> None:
        if at == step:
            raise KeyboardInterrupt

    return on_step


def test_a_resumed_run_ends_with_the_very_weights_of_one_that_never_stopped(
    task: Callable[[MotionRecipe], MotionTask], stretches: Stretches, recipe: MotionRecipe, tmp_path: Path
) -> None:
    """Members forget at random, and that too depends on seed and step alone."""
    whole = Trainer(task(recipe), stretches, recipe, tmp_path / "whole", CPU)
    whole.run(lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        Trainer(task(recipe), stretches, recipe, tmp_path / "parts", CPU).run(stop_after(3))
    torch.manual_seed(99)
    resumed = Trainer(task(recipe), stretches, recipe, tmp_path / "parts", CPU)
    assert resumed.step == 3
    resumed.run(lambda *_: None)
    expected, found = (checkpoint.read(tmp_path / name)["average"] for name in ("whole", "parts"))
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert (tmp_path / "whole/sheet-000002.jpg").exists()


def test_the_members_learn_and_the_first_layers_stay(
    task: Callable[[MotionRecipe], MotionTask],
    stretches: Stretches,
    recipe: MotionRecipe,
    heard: Heard,
    tmp_path: Path,
) -> None:
    long = recipe.model_copy(update={"run": recipe.run.model_copy(update=FAST)})
    told: list[dict[str, float]] = []
    trainer = Trainer(task(long), stretches, long, tmp_path, CPU)
    trainer.run(lambda _, logged: told.append(logged))
    first, last = (np.mean([sum(one.values()) for one in part]) for part in (told[:5], told[-5:]))
    assert last < 0.8 * first
    network = trainer.average
    assert isinstance(network, LipMotion)
    for name in ("mean", "scale", "listen.weight", "listen.bias"):
        assert torch.equal(network.state_dict()[name], heard.directions[name])


def test_people_held_out_are_judged(
    task: Callable[[MotionRecipe], MotionTask], stretches: Stretches, recipe: MotionRecipe
) -> None:
    own = task(recipe)
    own.network.eval()
    figures = own.validate(own.network)
    assert set(figures) == {
        "held_out/open_on_no_speech", "held_out/opening", "held_out/opening_least", "held_out/second",
    }  # fmt: skip
    assert all(-1 <= figures[f"held_out/{name}"] <= 1 for name in ("opening", "opening_least", "second"))
    assert figures["held_out/opening_least"] == figures["held_out/opening"]  # of one clip
    assert figures["held_out/open_on_no_speech"] > 0
    sheet = own.sheet(stretches(0), own.network)
    assert (sheet.shape, sheet.dtype) == ((120, 600, 3), np.uint8)
