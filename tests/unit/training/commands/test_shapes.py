"""`lipserve train shapes`, as a user runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipserve.lipwarp.shapes import shipped_basis
from lipserve_training.data import prepare
from lipserve_training.data.videos import find
from tests.support.programs import train as main

RECIPE = '[run]\nsteps = 1\n[data]\nhold_out = ["{}"]\n'


@pytest.mark.slow
def test_two_people_of_grid_give_a_basis_like_the_shipped_one(
    tmp_path: Path, exported: Path, shared_data: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for speaker, name in (("s5", "LipNet__lbax4n"), ("s32", "LipNet__sbwe5n"), ("s20", "LipNet__brbk7n")):
        (tmp_path / "in" / speaker).mkdir(parents=True)
        (tmp_path / "in" / speaker / "a.mpg").symlink_to(shared_data(f"video/{name}.mpg"))
    videos = find([tmp_path / "in"], {})
    data = tmp_path / "data"
    prepare.prepare(videos, data, prepare.Settings(exported, "trust", -1), 1, lambda _: None)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format("s20"))
    words = ["shapes", str(data), "-o", str(tmp_path / "shapes.npz"), "--recipe", str(recipe)]
    assert main(words) == 0
    assert "in 2 clips of 2 speakers" in capsys.readouterr().out
    made = (tmp_path / "shapes.npz").read_bytes()
    with np.load(tmp_path / "shapes.npz") as held:
        likeness = held["directions"].reshape(8, -1) @ shipped_basis().directions.reshape(8, -1).T
        assert likeness[0, 0] > 0.97
        assert abs(likeness[1, 1]) > 0.8
        np.testing.assert_allclose(held["rigid"], shipped_basis().rigid, atol=0.06)
    assert main(words) == 0
    assert (tmp_path / "shapes.npz").read_bytes() == made
    recipe.write_text(RECIPE.format("nobody"))
    assert main(words) == 0
    assert (tmp_path / "shapes.npz").read_bytes() != made


def test_impossible_orders_are_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["shapes", str(tmp_path), "-o", str(tmp_path / "s.npz")]) == 5
    assert "is not a dataset" in capsys.readouterr().err
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.replace("{}", 'ann", "ben", "cid'))
    assert main(["shapes", str(dataset), "-o", str(tmp_path / "s.npz"), "--recipe", str(recipe)]) == 5
    assert "holds out all 4 clips" in capsys.readouterr().err
