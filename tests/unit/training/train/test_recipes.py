"""The recipes of the papers that are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipserve.errors import SetupError
from lipserve_training.data import augment
from lipserve_training.train import recipe, tasks

ANY = Path("any.pth")
GIVEN: dict[str, tuple[tasks.Kind, tasks.Files]] = {
    "expert": ("expert", tasks.Files()),
    "teacher": ("teacher", tasks.Files(expert=ANY)),
    "paper_student": ("student", tasks.Files(expert=ANY, teacher=ANY)),
    "grid_student": ("student", tasks.Files()),
    "grid_student_2": ("student", tasks.Files(init=ANY)),
    "grid_student_3": ("student", tasks.Files(init=ANY)),
}


@pytest.mark.parametrize("name", GIVEN)
def test_the_shipped_recipes_go_with_their_commands(name: str) -> None:
    kind, files = GIVEN[name]
    tasks.check(kind, recipe.load(recipe.find(name), recipe.GeneratorRecipe), files)


def test_the_runs_of_the_shipped_weights_draw_the_same_clips() -> None:
    first, second, third = (
        recipe.load(recipe.find(f"grid_student{n}"), recipe.GeneratorRecipe) for n in ("", "_2", "_3")
    )
    assert first.data == second.data == third.data
    assert first.data.hold_out == ("s3", "s22", "s23")
    assert first.network == second.network == third.network


def test_the_student_s_is_the_paper_s_objective() -> None:
    paper = recipe.load(recipe.find("paper_student"), recipe.GeneratorRecipe)
    weights = {name: value for name, value in paper.losses if value}
    assert weights == {
        "channel": 10, "teacher_ssim": 10, "feature": 10, "style": 10_000, "tv": 1e-5, "sync": 3,
    }  # fmt: skip
    assert (paper.network.width, paper.network.residual) == (0.25, False)
    assert paper.augment == augment.NONE


def test_the_teacher_s_is_wav2lip_s() -> None:
    teacher = recipe.load(recipe.find("teacher"), recipe.GeneratorRecipe)
    assert {name: value for name, value in teacher.losses if value} == {
        "l1": 0.9, "sync": 0.03, "sync_from": 0.5, "adversarial": 0.07,
    }  # fmt: skip
    assert (teacher.network.width, teacher.network.residual) == (1, True)
    assert (teacher.run.frames, teacher.run.learning_rate, teacher.run.betas) == (80, 1e-4, (0.5, 0.999))


def test_a_file_comes_before_a_shipped_recipe_and_steps_before_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "teacher").write_text("[run]\nsteps = 9\n")
    monkeypatch.chdir(tmp_path)
    assert recipe.load(recipe.find("teacher"), recipe.GeneratorRecipe).run.steps == 9
    assert recipe.load(recipe.find("teacher"), recipe.GeneratorRecipe, 4).run.steps == 4
    with pytest.raises(SetupError, match=r"nothing\.toml cannot be read"):
        recipe.load(recipe.find("nothing.toml"), recipe.GeneratorRecipe)
    with pytest.raises(SetupError, match=r"run\.steps: .*greater than 0"):
        recipe.load(recipe.find("teacher"), recipe.GeneratorRecipe, 0)


def test_a_name_that_is_no_recipe_is_told_the_shipped_ones() -> None:
    with pytest.raises(SetupError) as caught:
        recipe.load(recipe.find("grid"), recipe.GeneratorRecipe)
    assert all(name in caught.value.remedy for name in GIVEN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run = 5", "run: Input should be a valid dictionary"),
        ("[run]\nseed = -1", "run.seed: Input should be greater than or equal to 0"),
        (f"[run]\nseed = {2**63}", "run.seed: Input should be less than"),
        ("[run]\nbetas = [1.5, 0.9]", "run.betas.0: Input should be less than 1"),
        ("[losses]\nl1 = inf", "losses.l1: Input should be a finite number"),
        ("[augment]\nhid = 0.3", "augment.hid: Unexpected keyword argument"),
        ("[augment]\nhide = 2", "augment.hide: Input should be less than or equal to 1"),
        ("[augment]\nmask = -1", "augment.mask: Input should be greater than or equal to 0"),
        ("[augment]\nmask = 100", "augment.mask: Input should be less than or equal to 48"),
        ("[augment]\nscale = -0.1", "augment.scale: Input should be greater than or equal to 0"),
        ("[augment]\npose = inf", "augment.pose: Input should be a finite number"),
    ],
)
def test_a_setting_that_would_fail_in_the_run_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    with pytest.raises(SetupError) as caught:
        recipe.load(file, recipe.GeneratorRecipe, steps=4)
    assert message in caught.value.message
