"""Plans that do not fit are refused, each for its reason, before Triton is asked to load them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lipserve.errors import SetupError
from lipserve.plans import compute_capabilities
from lipserve_server.engines import (
    Machine,
    check,
    check_stage,
    decode_version,
    exported,
    main,
    served_profile,
)

LEAVES = ("face_detector", "wav2lip_generator")
MACHINE = Machine(("sm90", "sm90"), "10.9.0")
GRAPH, PLAN = b"graph", b"plan" * 1000
HERE = [sys.executable, "-m", "lipserve_server.engines"]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def promptly() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 2


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two leaves with plans for two H100 and TensorRT 10.9."""
    for leaf in LEAVES:
        folder = tmp_path / leaf / "1"
        folder.mkdir(parents=True)
        files = [
            {"name": "model.onnx", "precision": "fp32", "sha256": sha256(b"single"), "bytes": 6},
            {"name": "model.fp16.onnx", "precision": "fp16", "sha256": sha256(GRAPH), "bytes": len(GRAPH)},
        ]
        (folder / "manifest.json").write_text(json.dumps({"model": leaf, "files": files}))
        (folder / "model.plan").write_bytes(PLAN)
        account = {
            "purpose": "serving",
            "onnx_sha256": sha256(GRAPH),
            "plan_sha256": sha256(PLAN),
            "precision": "fp16",
            "shapes": {"IMAGE": [[1, 3], [4, 3], [8, 3]]},
            "flavour": "tensorrt",
            "version": "10.9.0.34",
            "compute_capability": "sm90",
        }
        (folder / "model.json").write_text(json.dumps(account))
    return tmp_path


def change(repository: Path, leaf: str, **values: Any) -> None:
    path = repository / leaf / "1" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refusal(repository: Path, machine: Machine = MACHINE) -> str:
    with pytest.raises(SetupError) as caught:
        check(repository, machine, LEAVES)
    assert caught.value.remedy == f"Build it here: lipserve-export engines -o {repository}"
    return caught.value.message


def test_plans_that_fit_pass(repository: Path) -> None:
    check(repository, MACHINE, LEAVES)
    check(repository, Machine(("sm90",), None), LEAVES)  # TensorRT not found: not compared
    assert exported(repository) == list(LEAVES)


def test_another_gpu_is_refused(repository: Path) -> None:
    assert refusal(repository, Machine(("sm80",), "10.9.0")) == (
        "The plan of face_detector was built for sm90 with TensorRT 10.9.0.34; "
        "this machine has sm80 and TensorRT 10.9.0."
    )


def test_one_gpu_of_several_that_differs_is_enough(repository: Path) -> None:
    assert "has sm90, sm80 and" in refusal(repository, Machine(("sm90", "sm80"), "10.9.0"))


@pytest.mark.parametrize("version", ["10.9.1", "10.13.0", "11.0.0"])
def test_another_tensorrt_is_refused(repository: Path, version: str) -> None:
    message = refusal(repository, Machine(("sm90",), version))
    assert f"with TensorRT 10.9.0.34; this machine has sm90 and TensorRT {version}" in message


def test_a_checking_plan_under_a_serving_name_is_refused(repository: Path) -> None:
    change(repository, "wav2lip_generator", flavour="tensorrt_rtx", version="1.7.1.116")
    message = refusal(repository)
    assert "wav2lip_generator/1/model.plan was built by tensorrt_rtx 1.7.1.116 for checking" in message


def test_a_missing_plan_is_refused(repository: Path) -> None:
    (repository / "wav2lip_generator" / "1" / "model.plan").unlink()
    assert "wav2lip_generator has no TensorRT plan" in refusal(repository)


def test_a_plan_without_its_account_is_refused(repository: Path) -> None:
    (repository / "face_detector" / "1" / "model.json").unlink()
    assert refusal(repository).endswith("face_detector/1/model.json: No such file or directory.")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"plan_sha256": "x"}', "\x00"])
def test_a_damaged_account_is_refused(repository: Path, text: str) -> None:
    (repository / "face_detector" / "1" / "model.json").write_text(text)
    assert refusal(repository).endswith("face_detector/1/model.json is not the account of a plan.")


def test_a_plan_that_was_replaced_is_refused(repository: Path) -> None:
    (repository / "wav2lip_generator" / "1" / "model.plan").write_bytes(PLAN[:-1] + b"!")
    assert "is not the plan that model.json beside it tells of" in refusal(repository)
    check(repository, MACHINE, LEAVES, digests=False)


def test_a_plan_of_another_graph_is_refused(repository: Path) -> None:
    change(repository, "face_detector", onnx_sha256=sha256(b"single"))  # there, but in FP32
    assert refusal(repository) == (
        "The plan of face_detector was built of another fp16 graph than the manifest's."
    )


def test_a_wrong_gpu_is_told_before_gigabytes_are_read(repository: Path) -> None:
    with (repository / "face_detector" / "1" / "model.plan").open("r+b") as plan:
        plan.truncate(1 << 40)  # a hole: reading it would take minutes
    assert "for sm90" in refusal(repository, Machine(("sm80",), "10.9.0"))


@pytest.mark.parametrize("text", [None, "[]", '{"files": [1]}'])
def test_a_manifest_that_cannot_be_read_is_named(repository: Path, text: str | None) -> None:
    path = repository / "face_detector" / "1" / "manifest.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(SetupError, match=r"face_detector/1/manifest\.json cannot be read") as caught:
        check(repository, MACHINE, LEAVES)
    assert f"lipserve-export all -o {repository}" in caught.value.remedy


def test_the_command_answers_for_another_machine(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = [str(repository), "--tensorrt", "10.9.0", "--compute-capability"]
    assert main([*other, "sm90"]) == 0
    assert "face_detector, wav2lip_generator: the plans fit sm90" in capsys.readouterr().err
    assert main([*other, "sm120"]) == 1
    assert "this machine has sm120" in capsys.readouterr().err


def test_the_command_wants_a_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none")]) == 1
    assert "There is no exported model in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "profile"),
    [
        ([], "tensorrt"),
        (["--model-config-name=embedded"], "embedded"),
        (["--model-config-name", "onnx"], "onnx"),
        (["--model-repository=/models", "--model-config-name="], ""),
    ],
)
def test_the_profile_is_read_from_tritons_command_line(words: list[str], profile: str) -> None:
    waiting = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", *words]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as triton:
        assert triton.stdout is not None
        triton.stdout.readline()  # it runs what it was told to, and no longer what it was forked from
        assert served_profile(triton.pid) == profile


@pytest.mark.skipif(bool(compute_capabilities()), reason="there is a GPU")
@pytest.mark.parametrize("stage", ["wav2lip_generate", "latentsync_generate"])
def test_a_generate_stage_checks_its_plans_as_it_starts(stage: str, repository: Path) -> None:
    """This process's parent names no profile, as Triton does in production."""
    with pytest.raises(SetupError, match="No NVIDIA GPU is to be seen here"):
        check_stage(stage, repository)
    check_stage("postprocess", repository)  # calls no leaf model


@pytest.mark.skipif(bool(compute_capabilities()), reason="there is a GPU")
def test_without_a_gpu_the_command_ends_with_a_message(repository: Path) -> None:
    ended = subprocess.run([*HERE, repository], capture_output=True, text=True, timeout=20)
    assert ended.returncode == 1
    assert ended.stderr.startswith("No NVIDIA GPU is to be seen here, and the profile tensorrt needs one.\n")


def test_the_version_is_the_librarys_own(tmp_path: Path) -> None:
    """TensorRT for RTX has the entry point of TensorRT, and stands in for it under its name."""
    package = pytest.importorskip("tensorrt_rtx_libs", reason="install lipserve[rtx]")
    library = next(Path(package.__path__[0]).glob("libtensorrt_rtx.so.1"))
    (tmp_path / "libnvinfer.so.10").symlink_to(library)
    told = subprocess.run(
        [sys.executable, "-c", "from lipserve_server import engines; print(engines._tensorrt())"],
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told.strip() == "1.7.1"
    assert decode_version(100_900) == "10.9.0"
    assert decode_version(101_303) == "10.13.3"
