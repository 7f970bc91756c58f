"""`make gpu` without a GPU: a dry run takes every path but CUDA's own."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.gpu import __main__ as gpu
from bench.gpu import device as devices
from bench.gpu.device import Device
from bench.gpu.networks import Networks, fused_attention
from bench.gpu.recipes import RECIPES, window
from bench.gpu.report import Report, Row
from bench.gpu.ways import Run
from lipserve.contracts import Form
from lipserve.latentsync.flops import window_gflop

SIDE = 64  # pixels: enough for every level of the networks


@pytest.fixture(scope="module")
def device() -> Device:
    return devices.find(dry_run=True)


@pytest.fixture(scope="module")
def networks(device: Device) -> Networks:
    return Networks(device)


def _report(folder: Path) -> dict[tuple[str, int, str], dict[str, Any]]:
    rows = json.loads((folder / "report.json").read_text())["rows"]
    return {(row["what"], row["batch"], row["way"]): row for row in rows}


@pytest.mark.slow
def test_a_dry_run_measures_every_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--dry-run", "--resolutions", str(SIDE), "--folder", str(tmp_path)]
    assert gpu.main([*common, "--parts", "vae", "--ways", "eager,compile"]) == 0
    assert gpu.main([*common, "--parts", "step", "--ways", "eager,graph"]) == 0
    assert gpu.main([*common, "--parts", "recipes", "--ways", "eager,engine", "--recipes", "E"]) == 0
    found = _report(tmp_path)
    leaves = [(name, batch) for name, batches in gpu.BATCHES.items() for batch in batches]
    for what, batch in leaves:
        for way in ("eager", "compile" if what.startswith("vae") else "graph"):
            row = found[what, batch, way]
            if way == "graph":
                assert row["error"] == "A CUDA graph needs a GPU."
                continue
            assert (row["error"], row["runs"]) == ("", 1)
            assert row["tflop_per_second"] == pytest.approx(1e3 * row["tflop"] / row["milliseconds"])
    title = RECIPES["E"].title
    assert found[title, 1, "eager"]["fps"] == pytest.approx(16e3 / found[title, 1, "eager"]["milliseconds"])
    assert found[title, 1, "engine"]["error"] == "No repository of exported models is named."
    assert len(found) == 2 * len(leaves) + 2  # each run added to the file of those before it
    assert capsys.readouterr().out.count("| CPU (a dry run) |") > len(found)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_machine_without_a_gpu_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--folder", str(tmp_path / "gpu")]) == 5
    said = capsys.readouterr().err
    assert said.startswith("error: PyTorch")
    assert "finds no NVIDIA GPU" in said
    assert not (tmp_path / "gpu").exists()


def test_sizes_that_no_tier_has_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--dry-run", "--resolutions", "100", "--folder", str(tmp_path)]) == 5
    assert "256 or 512" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        gpu.main(["--parts", "everything"])


def test_the_fused_attention_is_the_written_one(networks: Networks) -> None:
    contract = networks.contracts(SIDE)["denoise_step"]
    inputs = networks.inputs(contract, 1)
    step = networks.modules["denoise_step"]
    with torch.no_grad():
        written = step(*inputs.values())
        with fused_attention():
            fused = step(*inputs.values())
    for one, other in zip(written, fused, strict=True):
        assert torch.allclose(one, other, atol=1e-4)
        assert one.std() > 0.1


def test_inputs_are_the_contracts(networks: Networks) -> None:
    for contract in networks.contracts(SIDE).values():
        if contract.name == "whisper_encoder":
            continue
        made = networks.inputs(contract, 2)
        assert {name: tuple(value.shape) for name, value in made.items()} == {
            tensor.name: (2, *tensor.dims) for tensor in contract.inputs
        }
        assert all(value.dtype == torch.float32 for value in made.values())


@pytest.mark.parametrize(
    ("name", "whole", "shallow"), [("A", 20, 0), ("C", 7, 13), ("D", 10, 0), ("E", 5, 5)]
)
def test_a_recipe_runs_all_its_steps(device: Device, name: str, whole: int, shallow: int) -> None:
    calls: Counter[str] = Counter()
    form = Form(SIDE, 16)
    grid = form.grid
    latents = torch.zeros(1, 4, 16, grid, grid)
    answers = {
        "vae_encoder": {"LATENTS": torch.zeros(32, 4, grid, grid)},
        "vae_decoder": {"IMAGES": torch.zeros(16, 3, SIDE, SIDE)},
        "denoise_step": {"NEXT_LATENTS": latents, "X0": latents, "FEATURES": torch.ones(1)},
        "denoise_step_shallow": {"NEXT_LATENTS": latents, "X0": latents},
    }

    def run_of(leaf: str) -> Run:
        def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
            calls[leaf] += 1
            assert ("FEATURES" in inputs) == (leaf == "denoise_step_shallow")
            return answers[leaf]

        return run

    images = window(RECIPES[name], {leaf: run_of(leaf) for leaf in answers}, device, form)()
    assert images.shape == (16, 3, SIDE, SIDE)
    assert calls == Counter(vae_encoder=1, vae_decoder=1, denoise_step=whole, denoise_step_shallow=shallow)
    recipe = RECIPES[name]
    assert window_gflop(256, recipe.steps, recipe.deepcache) <= window_gflop(256, 20)


def test_rows_give_rates_and_replace_their_likes(tmp_path: Path) -> None:
    about = ("NVIDIA A100", "step", "denoise_step", 512, 1, "graph")
    report = Report(tmp_path)
    report.add(Row(*about, None, 0, 35.25, 312.0, error="out of memory"))
    report.add(Row(*about, 250.0, 9, 35.25, 312.0, 12.0, "CUDA graph"))
    again = Report(tmp_path)
    again.add(Row("NVIDIA A100", "recipe", "A: 20 ddim", 512, 1, "eager", 4000.0, 3, 781.0, 312.0, 20.0, "x"))
    first, second = again.markdown().splitlines()[2:]
    assert first == "| NVIDIA A100 | denoise_step | 512 | 1 | CUDA graph | 250.00 | 141.0 | 45.2% |  | 12.0 |"
    assert second == "| NVIDIA A100 | A: 20 ddim | 512 | 1 | x | 4000.00 | 195.2 | 62.6% | 4.00 | 20.0 |"
    assert len(json.loads((tmp_path / "report.json").read_text())["rows"]) == 2


def test_peaks_are_those_of_the_names() -> None:
    names = {
        "NVIDIA A100-SXM4-40GB": 312,
        "NVIDIA H100 80GB HBM3": 989,
        "NVIDIA H100 PCIe": 756,
        "NVIDIA H200": 989,
    }
    for name, peak in names.items():
        assert devices.peak(name) == peak
    assert devices.peak("NVIDIA L4") is None
