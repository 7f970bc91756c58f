"""`lipserve train renderer` and `pack`, as a user runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import safetensors
import torch

from lipserve_export.fetch import shipped
from lipserve_export.lipwarp.renderer_network import LipRenderer
from lipserve_training.train import checkpoint, recipe
from tests.support.programs import train as main

ROOT = Path(__file__).resolve().parents[4]
RECIPE = """
[run]
steps = 2
pairs = 2
log_every = 1
save_every = 1
[data]
hold_out = ["{}"]
favour = {{ ann = 2.0 }}
[losses]
perceptual = 0
"""


def command(data: Path, folder: Path, held_out: str, *more: object) -> list[str]:
    file = folder.with_suffix(".toml")
    file.write_text(RECIPE.format(held_out))
    words = ["renderer", "--recipe", file, "--data", data, "-o", folder, "--device", "cpu", "--workers", 0]
    return [str(word) for word in (*words, *more)]


def test_a_run_and_another_that_begins_with_it(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(dataset, tmp_path / "run", "cid")
    assert main(words) == 0
    told = capsys.readouterr().err
    assert "3 clips of 2 speakers" in told
    assert "held_out/pixels: " in told
    path = tmp_path / "run/lip_renderer.safetensors"
    network, _ = shipped.load(path, LipRenderer())
    average = checkpoint.read(tmp_path / "run")["average"]
    assert all(torch.equal(v, average[n].half().to(v.dtype)) for n, v in network.state_dict().items())
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata()["data"] == "3 clips, 0.0 min, of ann, ben"

    assert main(command(dataset, tmp_path / "next", "cid", "--init", path, "--steps", 1)) == 0
    begun = torch.load(tmp_path / "next/checkpoint.pt", weights_only=True)["network"]
    fresh = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)["network"]
    name = "encoder.0.0.weight"
    assert (begun[name] - fresh[name]).abs().max() < 1e-3  # a step of warm-up, and half precision, away

    assert main([*words, "--steps", "3"]) == 0
    assert "going on from step 2" in capsys.readouterr().err


def test_a_pack_trains_as_its_dataset_does(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = tmp_path / "a.pack"
    assert main(["pack", str(dataset), "-o", str(pack), "--megabytes", "5"]) == 0
    assert "4 of 4 clips in" in capsys.readouterr().err
    assert main(command(pack, tmp_path / "run", "cid")) == 0
    assert "3 clips of 2 speakers" in capsys.readouterr().err
    assert (tmp_path / "run/lip_renderer.safetensors").exists()


@pytest.mark.slow
def test_a_run_on_grid_with_what_a_network_sees(
    grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(grid, tmp_path / "run", "s22")
    (tmp_path / "run.toml").write_text(RECIPE.format("s22").replace("perceptual = 0", "perceptual = 0.1"))
    assert main(words) == 0
    told = capsys.readouterr().err
    assert "1 clips of 1 speakers" in told
    assert "perceptual 0.0" in told
    figures = {
        line.split(": ")[0]: float(line.split(": ")[1]) for line in told.splitlines() if "held_out/" in line
    }
    assert figures["held_out/pixels"] < 1.3 * figures["held_out/pixels_of_moved"]
    assert figures["held_out/pixels_of_moved"] < 15  # levels: the flow alone is near the truth


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--workers", "-1"), "--workers is -1"),
        (("--minutes", "0"), "--minutes is 0"),
        (("--minutes", "nan"), "--minutes is nan"),
        (("--init", "absent.safetensors"), "absent.safetensors"),
        (("--steps", "0"), "greater than 0"),
    ],
)
def test_faults_are_told_before_any_work(
    more: tuple[str, ...], message: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(dataset, tmp_path / "run", "cid", *more)) == 5
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_recipe_for_a_gpu_runs_from_a_pack_for_its_time_on_a_cpu_too(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Smaller batches, a process that draws, and an end after less than a second."""
    text = recipe.find("renderer_gpu").read_text()
    assert "pairs = 128\n" in text
    (tmp_path / "gpu.toml").write_text(text.replace("pairs = 128", "pairs = 2").replace('"s3"', '"cid"'))
    assert main(["pack", str(dataset), "-o", str(tmp_path / "a.pack")]) == 0
    words = [
        "renderer",
        "--recipe",
        tmp_path / "gpu.toml",
        "--data",
        tmp_path / "a.pack",
        "-o",
        tmp_path / "run",
    ]
    assert main([*map(str, words), "--device", "cpu", "--workers", "1", "--minutes", "0.01"]) == 0
    assert "3 clips of 2 speakers" in capsys.readouterr().err
    with safetensors.safe_open(tmp_path / "run/lip_renderer.safetensors", "pt") as file:
        assert 1 <= int(file.metadata()["steps"]) < 8000


def test_without_a_gpu_a_run_on_one_is_refused_plainly(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert main(command(dataset, tmp_path / "run", "cid", "--device", "cuda")) == 5
    assert "There is no CUDA device." in capsys.readouterr().err


def made(*words: str) -> subprocess.CompletedProcess[str]:
    """What `make train-gpu` does, with the programs that run this test."""
    given = ["make", "--assume-old=.venv/.dev", f"BIN={Path(sys.executable).parent}", "train-gpu", *words]
    return subprocess.run(given, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_make_packs_a_dataset_and_says_plainly_that_there_is_no_gpu(dataset: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    pack, run = tmp_path / "a b.pack", tmp_path / "run"
    absent = made(f"PACK={pack}", "DATA=")
    assert absent.returncode == 2
    assert "There is no dataset to train on: DATA=DATASET" in absent.stdout
    refused = made(f"PACK={pack}", f"DATA={dataset}", f"RUN={run}")
    assert refused.returncode == 2
    assert "There is no CUDA device." in refused.stderr
    assert pack.exists()
    assert not run.exists()
