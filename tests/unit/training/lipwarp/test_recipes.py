"""The recipes of the tier lipwarp that are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipserve.errors import SetupError
from lipserve_training.lipwarp.recipes import MotionRecipe, RendererRecipe
from lipserve_training.train import recipe
from lipserve_training.train.recipe import Recipe

KINDS: dict[str, type[Recipe]] = {
    "motion": MotionRecipe,
    "renderer": RendererRecipe,
    "renderer_gpu": RendererRecipe,
}


@pytest.mark.parametrize("name", KINDS)
def test_recipes_load_and_hold_out_the_speakers_that_are_judged(name: str) -> None:
    loaded = recipe.load(recipe.find(name), KINDS[name])
    assert loaded.data.hold_out == ("s3", "s22", "s23")
    assert recipe.load_data(recipe.find(name)).hold_out == loaded.data.hold_out


def test_the_gpu_s_asks_for_what_the_other_does_and_draws_alike() -> None:
    one, other = (recipe.load(recipe.find(name), RendererRecipe) for name in ("renderer", "renderer_gpu"))
    assert (one.losses, one.data, one.augment) == (other.losses, other.data, other.augment)
    assert other.run.pairs == 8 * one.run.pairs


@pytest.mark.parametrize(
    ("name", "changed"),
    [("motion", "phones = 0.3"), ("renderer", "temporal = 0.5"), ("renderer", "perceptual = 0.1")],
)
def test_an_ablation_is_one_changed_number(name: str, changed: str, tmp_path: Path) -> None:
    text, term = recipe.find(name).read_text(), changed.split(" ")[0]
    assert text.count(changed) == 1
    (tmp_path / "less.toml").write_text(text.replace(changed, f"{term} = 0"))
    whole, less = (recipe.load(path, KINDS[name]) for path in (recipe.find(name), tmp_path / "less.toml"))
    before, after = whole.model_dump()["losses"], less.model_dump()["losses"]
    assert {key for key in before if before[key] != after[key]} == {term}


def test_the_name_of_a_folder_that_is_there_is_no_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "motion").mkdir()
    monkeypatch.chdir(tmp_path)
    assert recipe.find("motion").is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[losses]\nl1 = 1\n", "losses.l1: Extra inputs are not permitted"),
        ("[data]\nfavour = { s4 = 0 }\n", "data.favour.s4: Input should be greater than 0"),
        ("[augment]\nmirror = 2\n", "augment.mirror: Input should be less than or equal to 1"),
    ],
)
def test_an_unknown_key_of_a_recipe_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("[run]\nsteps = 1\n" + text)
    with pytest.raises(SetupError, match=message):
        recipe.load(tmp_path / "r.toml", RendererRecipe)
