"""The renderer's task, and its course."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lipserve_training.data import store
from lipserve_training.lipwarp import renderer
from lipserve_training.lipwarp.compose import Made
from lipserve_training.lipwarp.pairs import Batch, Pairs
from lipserve_training.lipwarp.perceptual import Perceptual, load
from lipserve_training.lipwarp.recipes import RendererLosses, RendererRecipe
from lipserve_training.lipwarp.renderer import RendererTask, detail
from lipserve_training.train import checkpoint
from lipserve_training.train.loop import Trainer

CPU = torch.device("cpu")
RUN = {"steps": 4, "pairs": 2, "warmup": 2, "log_every": 1, "save_every": 2}
TERMS = ("pixels", "gradients", "texture", "temporal", "paint", "smooth")


@pytest.fixture(scope="module")
def recipe() -> RendererRecipe:
    return RendererRecipe.model_validate({"run": RUN, "losses": {"perceptual": 0}})


@pytest.fixture(scope="module")
def pairs(dataset: Path, recipe: RendererRecipe) -> Pairs:
    return Pairs(dataset, store.read_index(dataset)[:3], recipe)


@pytest.fixture(scope="module")
def batch(pairs: Pairs) -> Batch:
    return pairs(0).to(CPU)


@pytest.fixture(scope="session")
def perceptual() -> Perceptual:
    return load()


def task(losses: RendererLosses, **more: object) -> RendererTask:
    torch.manual_seed(7)
    return RendererTask(losses, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TERMS)
def test_each_term_is_left_out_where_it_has_no_weight_and_doubles_with_it(
    name: str, batch: Batch, recipe: RendererRecipe
) -> None:
    weight = getattr(recipe.losses, name)
    terms = {}
    for factor in (0, 1, 2):
        losses = recipe.losses.model_copy(update={name: factor * weight})
        terms[factor] = task(losses).losses(batch, 0)
    assert set(terms[1]) == {*TERMS, "shares"}
    assert set(terms[0]) == set(terms[1]) - {name}
    assert float(terms[2][name].detach()) == pytest.approx(2 * float(terms[1][name].detach()), rel=1e-5)


def perfect(batch: Batch, **changes: Tensor) -> Made:
    nothing = torch.zeros(len(batch.target), 1, 96, 96)
    made = Made(batch.target, torch.zeros(len(batch.target), 4, 48, 48), nothing, nothing, batch.target)
    return replace(made, **changes)


@pytest.fixture
def terms(
    monkeypatch: pytest.MonkeyPatch, recipe: RendererRecipe
) -> Callable[[Batch, Made], dict[str, float]]:
    """Return a function that tells the terms of what is given for a renderer's work."""

    def tell(batch: Batch, made: Made) -> dict[str, float]:
        monkeypatch.setattr(renderer, "compose", lambda *_: made)
        return {name: float(term) for name, term in task(recipe.losses).losses(batch, 0).items()}

    return tell


def test_the_truth_costs_nothing(batch: Batch, terms: Callable[[Batch, Made], dict[str, float]]) -> None:
    assert terms(batch, perfect(batch)) == pytest.approx(dict.fromkeys((*TERMS, "shares"), 0), abs=1e-7)


def test_a_wrong_mouth_costs_more_than_wrong_skin(
    batch: Batch, terms: Callable[[Batch, Made], dict[str, float]]
) -> None:
    inner = batch.lips[:, :1]
    cheek = inner.roll(25, 3)
    off = {
        where: terms(batch, perfect(batch, picture=batch.target + 0.2 * mask))["pixels"]
        for where, mask in (("mouth", inner), ("cheek", cheek))
    }
    assert off["mouth"] > 4 * off["cheek"] > 0


def test_a_constant_error_does_not_flicker_and_a_changing_one_does(
    batch: Batch, terms: Callable[[Batch, Made], dict[str, float]]
) -> None:
    steady = torch.full_like(batch.target, 0.1)
    changing = steady * torch.tensor([0.0, 1.0]).repeat(len(steady) // 2)[:, None, None, None]
    told = [terms(batch, perfect(batch, picture=batch.target + off)) for off in (steady, changing)]
    assert told[0]["temporal"] == pytest.approx(0, abs=1e-6)
    assert told[1]["temporal"] == pytest.approx(0.5 * 0.1, rel=0.05)
    assert told[0]["gradients"] == pytest.approx(0, abs=1e-6)


def test_shares_cost_where_they_do_not_belong(
    batch: Batch, terms: Callable[[Batch, Made], dict[str, float]]
) -> None:
    whole = torch.ones(len(batch.target), 1, 96, 96)
    inner = (batch.lips[:, :1] > 0.5).float()
    told = {
        "memory between the lips": perfect(batch, memory=inner),
        "memory all over": perfect(batch, memory=whole),
        "a half memory between the lips": perfect(batch, memory=inner / 2),
        "paint between the lips": perfect(batch, paint=inner),
        "paint all over": perfect(batch, paint=whole),
    }
    cost = {name: terms(batch, made)["shares"] for name, made in told.items()}
    assert cost["memory between the lips"] == pytest.approx(0, abs=1e-6)
    assert cost["memory between the lips"] < cost["paint between the lips"] < cost["paint all over"]
    assert cost["memory between the lips"] < cost["a half memory between the lips"]
    assert cost["memory all over"] > 0.003


def test_detail_is_the_strength_of_the_laplacian() -> None:
    flat = torch.full((1, 3, 20, 20), 0.5)
    assert float(detail(flat)[..., 4:-4, 4:-4].max()) == pytest.approx(1e-5**0.5)
    checks = (torch.arange(20)[:, None] + torch.arange(20)) % 2
    board = flat + 0.1 * (2.0 * checks - 1)
    assert float(detail(board)[0, 0, 10, 10]) == pytest.approx(0.2, rel=1e-3)


def test_inputs_of_the_renderer_hold_nothing_of_the_truth_and_lead_towards_it(
    batch: Batch, perceptual: Perceptual
) -> None:
    weight = torch.ones(2, 1, 96, 96)
    truth = batch.target[:2]
    assert float(perceptual(truth, truth, weight)) == pytest.approx(0, abs=1e-6)
    blurred = torch.nn.functional.avg_pool2d(truth, 5, 1, 2).requires_grad_(True)
    seen = perceptual(blurred, truth, weight)
    seen.backward()
    assert blurred.grad is not None
    closer = blurred.detach() - 5 * blurred.grad
    assert float(perceptual(closer, truth, weight)) < float(seen.detach())
    losses = RendererLosses(perceptual=0.1, perceptual_share=0.5)
    assert float(task(losses, perceptual=perceptual).losses(batch, 0)["perceptual"].detach()) > 0


def stop_after(step: int) -> Callable[[int, dict[str, float]], None]:
    def on_step(at: int, logged: dict[str, float]) -> None:
        if at == step:
            raise KeyboardInterrupt

    return on_step


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_run_ends_with_the_very_weights_of_one_that_never_stopped(
    workers: int, pairs: Pairs, recipe: RendererRecipe, tmp_path: Path
) -> None:
    """Whoever draws: what a step sees depends on seed and step alone."""
    whole = Trainer(task(recipe.losses), pairs, recipe, tmp_path / "whole", CPU)
    whole.run(lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        Trainer(task(recipe.losses), pairs, recipe, tmp_path / "parts", CPU, workers).run(stop_after(3))
    torch.manual_seed(99)
    resumed = Trainer(task(recipe.losses), pairs, recipe, tmp_path / "parts", CPU, workers)
    assert resumed.step == 3
    resumed.run(lambda *_: None)
    expected, found = (checkpoint.read(tmp_path / name)["average"] for name in ("whole", "parts"))
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert (tmp_path / "whole/sheet-000002.jpg").exists()


def test_people_held_out_are_judged_and_shown(dataset: Path, batch: Batch, recipe: RendererRecipe) -> None:
    own = task(recipe.losses, judged=[batch])
    own.network.eval()
    figures = own.validate(own.network)
    assert set(figures) == {
        f"held_out/{name}" for name in ("pixels", "pixels_of_moved", "temporal", "detail")
    }
    assert figures["held_out/pixels_of_moved"] > 1
    assert 0.2 < figures["held_out/detail"] < 2
    sheet = own.sheet(batch, own.network)
    assert (sheet.shape, sheet.dtype) == ((5 * 96, 4 * 96, 3), np.uint8)
