"""`lipserve smoke` on a real Triton that works, on one whose generator does not, and on none."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lipserve.contracts import TierName
from lipserve.contracts.lipwarp import LIP_MOTION, SHAPES
from lipserve.digests import file_sha256
from lipserve_cli.main import main
from tests.support.servers import RunningServer, serve

pytestmark = pytest.mark.serve

CHECKS = ["served", "frames", "sound", "faces", "mouth", "rest"]


@pytest.fixture
def mute_server(request: pytest.FixtureRequest, tier: TierName, tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose tier hears nothing: every face comes back as it was, every mouth stays closed."""
    repository = tmp_path / "model_repository"
    shutil.copytree(request.getfixturevalue(f"exported_{tier}"), repository)
    if tier == "lipwarp":
        _hears_nothing(repository / "lip_motion/1/model.onnx")
    else:
        _gives_back(repository / "wav2lip_generator/1/model.onnx")
    with serve(repository, tmp_path / "triton.log") as running:
        yield running


def _hears_nothing(path: Path) -> None:
    states, shapes = (
        helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, ["B", *tensor.dims])
        for tensor in (*LIP_MOTION.inputs, *LIP_MOTION.outputs)
    )
    zeros = np.zeros((states.type.tensor_type.shape.dim[2].dim_value, SHAPES), np.float32)
    product = helper.make_node("MatMul", ["STATES", "ZEROS"], ["SHAPES"])
    constants = [numpy_helper.from_array(zeros, "ZEROS")]
    _save(helper.make_graph([product], "mute", [states], [shapes], constants), path)


def _gives_back(path: Path) -> None:
    mel = helper.make_tensor_value_info("MEL", TensorProto.FLOAT, ["B", 1, 80, 16])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, ["B", 96, 96, 3])
        for name in ("FACES", "GENERATED")
    ]
    copy = helper.make_node("Identity", ["FACES"], ["GENERATED"])
    _save(helper.make_graph([copy], "mute", [mel, ends[0]], [ends[1]]), path)


def _save(graph: onnx.GraphProto, path: Path) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    before = file_sha256(path)
    onnx.save(model, path)
    manifest = path.with_name("manifest.json")  # a start refuses a graph that is not its manifest's
    manifest.write_text(manifest.read_text().replace(before, file_sha256(path)))


@pytest.mark.parametrize("tier", [[], ["--tier", "wav2lip"]], ids=["lipwarp", "wav2lip"])
def test_a_server_that_works_passes_every_check(
    server: RunningServer, tier: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["smoke", "--url", server.url, *tier]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == CHECKS
    assert all(re.match(r"\w+ +ok +\d+\.\d\d s  \S", row) for row in rows)
    assert "60 of 60" in rows[1]
    changed, moves = map(float, re.findall(r"by ([\d.]+)", rows[4]))
    if tier:
        assert (changed, moves) == (pytest.approx(9.1, abs=2), pytest.approx(4.3, abs=1))
    else:
        assert changed > 10  # the portrait smiles
        assert moves > 2


def test_json(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smoke", "--url", server.url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"]
    assert [check["name"] for check in told["checks"]] == CHECKS
    assert all(check["ok"] and check["seconds"] >= 0 for check in told["checks"])


@pytest.mark.parametrize("tier", ["wav2lip", pytest.param("lipwarp", marks=pytest.mark.whole)])
def test_a_tier_that_hears_nothing_fails_one_check(
    mute_server: RunningServer, tier: TierName, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["smoke", "--url", mute_server.url, "--tier", tier]) == 1
    states = {row.split()[0]: row.split()[1] for row in capsys.readouterr().out.splitlines()}
    assert states.pop("mouth") == "FAILED"
    assert set(states.values()) == {"ok"}


def test_no_server_and_a_tier_that_is_not_held_are_typed(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["smoke", "--url", "127.0.0.1:9", "--timeout", "2"]) == 4
    assert capsys.readouterr().err.startswith("error: ")
    assert main(["smoke", "--url", server.url, "--tier", "latentsync"]) == 2
    assert "holds no model 'latentsync'" in capsys.readouterr().err


def test_a_service_that_takes_too_long_ends_with_the_time_that_was_given(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["smoke", "--url", server.url, "--timeout", "0.15"]) == 4
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


@pytest.mark.slow
def test_a_wheel_holds_the_clip_and_runs_where_nothing_can_be_written(
    server: RunningServer, tmp_path: Path
) -> None:
    root = Path(__file__).resolve().parents[2]
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path]
    subprocess.run([*build, root], check=True, timeout=200)
    (wheel,) = tmp_path.glob("lipserve-*.whl")
    installed, temporary = tmp_path / "installed", tmp_path / "tmp"
    shutil.unpack_archive(wheel, installed, "zip")
    temporary.mkdir()
    for folder in [installed, *(path for path in installed.rglob("*") if path.is_dir())]:
        folder.chmod(0o555)
    run = "import lipserve_cli.main as c; print(c.__file__); raise SystemExit(c.main())"
    try:
        done = subprocess.run(
            [sys.executable, "-c", run, "smoke", "--url", server.url],
            cwd=installed,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "TMPDIR": str(temporary)},
            capture_output=True,
            text=True,
            timeout=100,
        )
    finally:
        for folder in installed.rglob("*"):
            if folder.is_dir():
                folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    assert list(temporary.iterdir()) == []
