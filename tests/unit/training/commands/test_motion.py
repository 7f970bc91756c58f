"""`lipserve train motion`, as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors
import torch

from lipserve_export.fetch import shipped
from lipserve_export.lipwarp.motion_network import LipMotion
from lipserve_training.data import store
from lipserve_training.train import checkpoint
from tests.support.programs import train as main

RECIPE = """
[run]
steps = 2
stretches = 2
frames = 10
log_every = 1
save_every = 1
[data]
hold_out = ["{}"]
[losses]
phones = {}
[hearing]
variants = 1
speeds = 1
sounds = 8
"""


def command(data: Path, folder: Path, held_out: str, phones: float, *more: object) -> list[str]:
    file = folder.with_suffix(".toml")
    file.write_text(RECIPE.format(held_out, phones))
    words = ["motion", "--recipe", file, "--data", data, "-o", folder, "--device", "cpu", *more]
    return [str(word) for word in words]


def test_a_run_without_words(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = command(dataset, tmp_path / "run", "cid", 0)
    assert main(words) == 0
    told = capsys.readouterr().err
    assert "3 clips of 2 speakers" in told
    assert "held_out/opening: " in told
    path = tmp_path / "run/lip_motion.safetensors"
    network, _ = shipped.load(path, LipMotion())
    average = checkpoint.read(tmp_path / "run")["average"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, average[name].half().float())
    with safetensors.safe_open(path, "pt") as file:
        about = file.metadata()
    assert about["steps"] == "2"
    assert about["data"] == "3 clips, 0.0 min, of ann, ben"
    assert json.loads(about["recipe"])["data"]["hold_out"] == ["cid"]

    assert main([*words, "--steps", "3"]) == 0
    assert "going on from step 2" in capsys.readouterr().err
    assert main(words) == 5
    assert "is at step 3, beyond the requested 2" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_on_grid_with_its_words(
    grid: Path, shared_data: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alignments = shared_data("grid/alignments_all34.tsv.gz")
    assert main(command(grid, tmp_path / "run", "s22", 0.3, "--alignments", alignments)) == 0
    told = capsys.readouterr().err
    assert "what is said is known of 2 of 2 clips" in told
    assert "held_out/phones: " in told
    assert [entry.speaker for entry in store.read_index(grid)] == ["s22", "s5"]
    assert "of s5" in str(safetensors.safe_open(tmp_path / "run/lip_motion.safetensors", "pt").metadata())


@pytest.mark.parametrize(
    ("phones", "table", "message"),
    [
        (0.3, None, "--alignments is missing"),
        (0, "speaker\tname\twords\n", "the recipe gives it no weight"),
        (0.3, "speaker\tname\twords\ndan\tone\tbin:0-5\n", "has no recording with the name of a clip"),
        (0.3, "speaker\tname\twords\ndan\n", "line 2"),
    ],
)
def test_words_that_do_not_go_with_the_recipe_are_told(
    phones: float, table: str | None, message: str, dataset: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    more: list[object] = []
    if table is not None:
        (tmp_path / "a.tsv").write_text(table)
        more = ["--alignments", tmp_path / "a.tsv"]
    assert main(command(dataset, tmp_path / "run", "cid", phones, *more)) == 5
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_recipe_of_another_kind_is_told(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(dataset, tmp_path / "run", "cid", 0)
    (tmp_path / "run.toml").write_text("[run]\nsteps = 2\nframes = 5\n[losses]\nl1 = 1\n")
    assert main(words) == 5
    assert "losses.l1: Extra inputs are not permitted" in capsys.readouterr().err
    (tmp_path / "run.toml").write_text("[run]\nsteps = 2\n[losses]\ndirections = [1, 2]\n")
    assert main(words) == 5
    assert "a shape has 8 directions" in capsys.readouterr().err
