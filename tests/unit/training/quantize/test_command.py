"""`lipserve train quantize` as its users run it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from lipserve.contracts import WAV2LIP_GENERATOR
from lipserve_export.fetch.files import sha256
from lipserve_export.graphs.runtime import run, session
from lipserve_export.graphs.verify import check_signature, sample_inputs
from lipserve_export.wav2lip.network import Wav2Lip
from lipserve_training.data import store
from tests.support.programs import train as main

QUICK = ("--samples", "2", "--step", "23")


def quantize(checkpoint: Path, dataset: Path, folder: Path, *options: str) -> int:
    arguments = ["--checkpoint", str(checkpoint), "--data", str(dataset), "-o", str(folder)]
    return main(["quantize", *arguments, *QUICK, *options])


def test_a_graph_a_report_and_a_plot(
    checkpoint: Path, dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert quantize(checkpoint, dataset, tmp_path, "--precision", "fp32", "--boundary", "5") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.int8.onnx", "sweep.json", "sweep.png"]
    data = (tmp_path / "model.int8.onnx").read_bytes()
    graph = onnx.load_from_string(data)
    check_signature(graph, WAV2LIP_GENERATOR, tmp_path)
    assert sum(node.op_type == "QuantizeLinear" for node in graph.graph.node) == 5
    made = run(session(data), sample_inputs(WAV2LIP_GENERATOR.inputs, 3))["GENERATED"]
    assert made.shape == (3, 96, 96, 3)
    assert made.std() > 5

    report = json.loads((tmp_path / "sweep.json").read_text())
    assert list(report["boundaries"]) == ["0", "5", "21", "23"]
    assert [len(trial["int8"]) for trial in report["boundaries"].values()] == [0, 5, 21, 23]
    assert report["paper"] == report["boundaries"]["21"]
    assert report["boundaries"]["0"]["verdict"]["fp32"] == {"psnr": None, "ssim": pytest.approx(1), "l1": 0}
    written = report["written"]
    assert (written["choice"], written["precision"], len(written["trial"]["int8"])) == ("5", "fp32", 5)
    assert (written["sha256"], written["bytes"]) == (sha256(data), len(data))
    assert written["verdict"]["fp32"]["l1"] == pytest.approx(
        written["trial"]["verdict"]["fp32"]["l1"], rel=0.05
    )
    assert not set(report["calibrated_on"]["clips"]) & set(report["judged_on"]["clips"])

    plot = cv2.imread(str(tmp_path / "sweep.png"))
    assert plot is not None
    assert min(plot.shape[:2]) >= 900
    assert np.ptp(plot) == 255
    told = capfd.readouterr().err
    assert "5 of 23 convolutions INT8, the others FP32" in told
    assert "decoder 6.0" in told


def test_the_choice_that_is_written_follows_the_tolerance(
    checkpoint: Path, dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert quantize(checkpoint, dataset, tmp_path, "--tolerance", "255") == 0
    assert json.loads((tmp_path / "sweep.json").read_text())["written"]["trial"]["saving"] == 1
    assert quantize(checkpoint, dataset, tmp_path, "--tolerance", "0") == 0
    assert json.loads((tmp_path / "sweep.json").read_text())["written"]["trial"]["int8"] == []
    assert "No layer bears INT8" in capfd.readouterr().err


def test_the_same_seed_writes_the_same_graph(checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert quantize(checkpoint, dataset, tmp_path / name, "--boundary", "paper") == 0
    graphs = {(tmp_path / name / "model.int8.onnx").read_bytes() for name in ("one", "two")}
    assert len(graphs) == 1


def test_a_checkpoint_of_another_shape_is_refused(
    generator: Wav2Lip, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = generator.state_dict()
    state["output_block.1.weight"] = torch.zeros(3, 16, 1, 1)
    torch.save(state, tmp_path / "other.pth")
    assert quantize(tmp_path / "other.pth", dataset, tmp_path / "out") == 1
    assert "output_block.1.weight [3, 16, 1, 1], expected [3, 8, 1, 1]" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_an_empty_dataset_is_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantize(checkpoint, tmp_path, tmp_path / "out") == 1
    assert "is not a dataset" in capsys.readouterr().err
    store.write_index(tmp_path, [])
    assert quantize(checkpoint, tmp_path, tmp_path / "out") == 1
    assert "holds no clip" in capsys.readouterr().err


def test_a_boundary_beyond_the_last_layer_is_refused(
    checkpoint: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantize(checkpoint, dataset, tmp_path, "--boundary", "24") == 1
    assert "Give a boundary of 0 to 23." in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [("--boundary", "-1"), ("--boundary", "all"), ("--samples", "0"), ("--step", "x"), ("--tolerance", "nan"),
     ("--tolerance", "-1"), ("--calibration", "max"), ("--seed", "-3")],
)  # fmt: skip
def test_an_option_that_makes_no_sense_is_refused(
    option: tuple[str, str], checkpoint: Path, dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as refused:
        quantize(checkpoint, dataset, tmp_path, *option)
    assert refused.value.code == 2


def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    checkpoint: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        assert quantize(checkpoint, dataset, tmp_path) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "Free some space" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_told(
    checkpoint: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert quantize(checkpoint, dataset, tmp_path / "file" / "out") == 1
    assert "cannot be written: Not a directory" in capsys.readouterr().err


def test_help_needs_neither_torch_nor_onnx() -> None:
    program = (
        "import sys\n"
        "from lipserve_cli.main import main\n"
        "try:\n    main(['train', 'quantize', '--help'])\n"
        "except SystemExit as exit:\n    assert exit.code == 0\n"
        "assert not {'torch', 'onnx', 'onnxruntime', 'matplotlib'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--boundary" in done.stdout
