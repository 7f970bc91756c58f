"""The plans of this machine are chosen, others refused, each for its reason, before Triton is started."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from lipserve.contracts import PIPELINES, leaves_of
from lipserve.engine_store import EngineKey, compute_capabilities
from lipserve.errors import EngineError, SetupError
from lipserve_server.repository.engines import (
    Machine,
    check_stage,
    choose,
    decode_version,
    filenames,
    main,
    served_profile,
)
from lipserve_server.repository.store import assemble

LEAVES = [leaf.name for leaf in leaves_of("wav2lip")]
MACHINE = Machine(("sm90", "sm90"), "10.9.0")
PLAN = b"plan" * 1000
HERE = [sys.executable, "-m", "lipserve_server.repository.engines"]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def graph(leaf: str) -> str:
    return sha256(f"half {leaf}".encode())


KEY = EngineKey.of("sm90", "tensorrt", "10.9.0.34", map(graph, LEAVES))


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    """Gigabytes would take longer to read; what a test starts is counted by its end."""
    before = sum(os.times()[:4])
    yield
    assert sum(os.times()[:4]) - before < 10  # seconds of a core


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The fast tier, with plans for H100 and TensorRT 10.9."""
    store = tmp_path / "store"
    for leaf in LEAVES:
        folder = store / leaf / "1"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(b"single")
        files = [
            {"name": "model.onnx", "precision": "fp32", "sha256": sha256(b"single"), "bytes": 6},
            {"name": "model.fp16.onnx", "precision": "fp16", "sha256": graph(leaf), "bytes": 4},
            {"name": "model.fp16.onnx.data", "precision": "fp16", "sha256": sha256(b"data"), "bytes": 4},
        ]
        (folder / "manifest.json").write_text(json.dumps({"model": leaf, "files": files}))
    build(store, "sm90")
    return store


def build(store: Path, capability: str, plan: bytes = PLAN) -> None:
    key = EngineKey.of(capability, "tensorrt", "10.9.0.34", map(graph, LEAVES))
    for leaf in LEAVES:
        account = {
            "purpose": "serving",
            "onnx_sha256": graph(leaf),
            "plan_sha256": sha256(plan),
            "precision": "fp16",
            "shapes": {"IMAGE": [[1, 3], [4, 3], [8, 3]]},
            "flavour": "tensorrt",
            "version": "10.9.0.34",
            "compute_capability": capability,
        }
        path = key.plan(store, leaf)
        path.parent.mkdir(parents=True)
        path.write_bytes(plan)
        path.with_name("model.json").write_text(json.dumps(account))


def change(store: Path, leaf: str, **values: Any) -> None:
    path = KEY.plan(store, leaf).with_name("model.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refusal(store: Path, machine: Machine = MACHINE) -> str:
    with pytest.raises(EngineError) as caught:
        choose(store, machine, LEAVES)
    assert f"lipserve export engines -o {store} " in caught.value.remedy
    assert "lipserve ops build-engines" in caught.value.remedy
    return caught.value.message


def test_plans_that_fit_are_chosen(store: Path) -> None:
    assert choose(store, MACHINE, LEAVES) == (KEY,)
    assert filenames([KEY]) == {"9.0": "model.sm90.plan"}
    blackwell = EngineKey("sm120", "tensorrt", "10.9.0", KEY.models)
    assert filenames([blackwell]) == {"12.0": "model.sm120.plan"}


def test_another_gpu_is_refused_with_what_is_there_and_what_is_needed(store: Path) -> None:
    assert refusal(store, Machine(("sm80",), "10.9.0")) == (
        f"{store} has no TensorRT plans for this machine (sm80-trt10.9.0-{KEY.models}). "
        f"There is sm90-trt10.9.0-{KEY.models}: another GPU."
    )


def test_one_gpu_of_several_that_has_none_is_enough(store: Path) -> None:
    assert "for this machine (sm80-" in refusal(store, Machine(("sm90", "sm80"), "10.9.0"))


@pytest.mark.parametrize("version", ["10.9.1", "10.13.0", "11.0.0"])
def test_another_tensorrt_is_refused(store: Path, version: str) -> None:
    message = refusal(store, Machine(("sm90",), version))
    assert f"(sm90-trt{version}-{KEY.models})" in message
    assert message.endswith(f"There is {KEY}: another TensorRT.")


def test_other_models_are_refused(store: Path) -> None:
    path = store / "face_detector" / "1" / "manifest.json"
    path.write_text(path.read_text().replace(graph("face_detector"), sha256(b"new")))
    assert refusal(store).endswith(f"There is {KEY}: other models.")


def test_an_empty_store_says_so_and_a_check_plan_is_called_one(store: Path) -> None:
    shutil.rmtree(store / "engines")
    assert refusal(store).endswith(", and none for any other.")
    (store / "engines" / f"sm90-rtx1.7.1-{KEY.models}").mkdir(parents=True)
    assert refusal(store).endswith(f"There is sm90-rtx1.7.1-{KEY.models}: for checking only.")


def test_without_tensorrt_no_plan_can_be_chosen(store: Path) -> None:
    with pytest.raises(EngineError, match=r"TensorRT is missing here: .*libnvinfer\.so\.11"):
        choose(store, Machine(("sm90",), None), LEAVES)


def test_a_checking_plan_under_a_serving_name_is_refused(store: Path) -> None:
    change(store, "wav2lip_generator", flavour="tensorrt_rtx", version="1.7.1.116")
    message = refusal(store)
    assert message.endswith("wav2lip_generator/model.plan was built for sm90 by tensorrt_rtx 1.7.1.116.")


def test_a_missing_plan_is_refused(store: Path) -> None:
    KEY.plan(store, "wav2lip_generator").unlink()
    assert refusal(store).endswith("wav2lip_generator/model.plan is missing.")


def test_a_plan_without_its_record_is_refused(store: Path) -> None:
    KEY.plan(store, "face_detector").with_name("model.json").unlink()
    assert refusal(store).endswith("face_detector/model.json: No such file or directory.")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"plan_sha256": "x"}', "\x00"])
def test_a_damaged_record_is_refused(store: Path, text: str) -> None:
    KEY.plan(store, "face_detector").with_name("model.json").write_text(text)
    assert refusal(store).endswith("face_detector/model.json is not the record of a plan.")


def test_a_plan_that_was_replaced_is_refused(store: Path) -> None:
    KEY.plan(store, "wav2lip_generator").write_bytes(PLAN[:-1] + b"!")
    assert "is not the plan that model.json beside it tells of" in refusal(store)


def test_a_plan_of_another_graph_is_refused(store: Path) -> None:
    change(store, "face_detector", onnx_sha256=sha256(b"single"))  # there, but in FP32
    assert refusal(store).endswith("face_detector/model.plan was built of another graph than the manifest's.")


def test_faults_that_are_cheap_to_see_are_told_before_gigabytes_are_read(store: Path) -> None:
    with KEY.plan(store, "face_detector").open("r+b") as plan:
        plan.truncate(1 << 40)  # a hole: reading it would take minutes
    change(store, "wav2lip_generator", compute_capability="sm80")
    assert "wav2lip_generator/model.plan was built for sm80" in refusal(store)


@pytest.mark.parametrize("text", [None, "[]", '{"files": [1]}', '{"files": []}'])
def test_a_manifest_that_cannot_be_read_is_named(store: Path, text: str | None) -> None:
    path = store / "face_detector" / "1" / "manifest.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(SetupError, match=r"face_detector/1/manifest\.json cannot be read") as caught:
        choose(store, MACHINE, LEAVES)
    assert f"lipserve export all -o {store}" in caught.value.remedy


def configuration(repository: Path, model: str) -> Any:
    """Return a configuration as Triton's own protobuf reads it."""
    text = (repository / model / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_every_kind_of_gpu_gets_its_plan_under_the_name_that_triton_looks_for(
    store: Path, tmp_path: Path
) -> None:
    build(store, "sm80", b"of another GPU")
    made = assemble(store, tmp_path / "work", "tensorrt", Machine(("sm90", "sm80"), "10.9.0"))
    assert [key.compute_capability for key in made.engines] == ["sm80", "sm90"]
    for leaf in LEAVES:
        config = configuration(made.repository, leaf)
        assert config.platform == "tensorrt_plan"
        assert dict(config.cc_model_filenames) == {"8.0": "model.sm80.plan", "9.0": "model.sm90.plan"}
        folder = made.repository / leaf / "1"
        assert (folder / "model.sm80.plan").read_bytes() == b"of another GPU"
        assert (folder / "model.sm90.plan").read_bytes() == PLAN
        assert not (folder / "model.plan").exists()
    for stage in ("wav2lip_preprocess", "wav2lip_generate", "wav2lip"):
        assert not configuration(made.repository, stage).cc_model_filenames


def test_engines_that_do_not_fit_are_refused_before_anything_is_written(store: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="for this machine \\(sm80-"):
        assemble(store, tmp_path / "work", "tensorrt", Machine(("sm80",), "10.9.0"))
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("profile", ["onnx", "embedded"])
def test_other_profiles_want_no_plans(store: Path, tmp_path: Path, profile: Any) -> None:
    shutil.rmtree(store / "engines")
    made = assemble(store, tmp_path / "work", profile)
    assert made.engines == ()
    assert not configuration(made.repository, "face_detector").cc_model_filenames


def test_the_command_answers_for_another_machine(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = [str(store), "--tensorrt", "10.9.0", "--compute-capability"]
    assert main([*other, "sm90"]) == 0
    assert f"face_detector, face_landmarks, wav2lip_generator: {KEY} fits" in capsys.readouterr().err
    assert main([*other, "sm120"]) == 1
    assert "(sm120-trt10.9.0-" in capsys.readouterr().err


def test_the_command_wants_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = ["--tensorrt", "10.9.0", "--compute-capability", "sm80"]
    assert main([str(tmp_path / "none"), *other]) == 1
    assert "There is no model repository at" in capsys.readouterr().err


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
@pytest.mark.parametrize("stage", [pipeline.generate.name for pipeline in PIPELINES.values()])
def test_a_generate_stage_checks_its_plans_as_it_starts(stage: str, store: Path) -> None:
    """This process's parent names no profile, as Triton does in production."""
    with pytest.raises(SetupError, match="No NVIDIA GPU is visible here"):
        check_stage(stage, store)
    check_stage("postprocess", store)  # calls no leaf model


@pytest.mark.skipif(bool(compute_capabilities()), reason="there is a GPU")
def test_without_a_gpu_the_command_ends_with_a_message(store: Path) -> None:
    ended = subprocess.run([*HERE, store], capture_output=True, text=True, timeout=20)
    assert ended.returncode == 1
    assert ended.stderr.startswith("No NVIDIA GPU is visible here; the profile tensorrt needs one.\n")


def test_the_version_is_the_librarys_own(tmp_path: Path) -> None:
    """TensorRT for RTX has the entry point of TensorRT, and stands in for it under its name."""
    package = pytest.importorskip("tensorrt_rtx_libs", reason="install lipserve[rtx]")
    library = next(Path(package.__path__[0]).glob("libtensorrt_rtx.so.1"))
    (tmp_path / "libnvinfer.so.10").symlink_to(library)
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "from lipserve_server.repository import engines as e; print(e.tensorrt_version())",
        ],
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told.strip() == "1.7.1"
    assert decode_version(100_900) == "10.9.0"
    assert decode_version(101_303) == "10.13.3"
