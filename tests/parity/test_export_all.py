"""The whole command, as `make demo` runs it."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from lipserve.contracts import PIPELINES, Form, leaves_of
from lipserve.engine_store import stored_keys
from lipserve_export.fetch import files, shipped
from lipserve_export.lipwarp.renderer_network import LipRenderer
from lipserve_export.wav2lip.generator import random_generator
from lipserve_export.wav2lip.network import VARIANTS
from tests.support.programs import export as main

HELD = tuple(dict.fromkeys((*leaves_of("lipwarp"), *leaves_of("wav2lip"))))  # the faces' are of both


def weights(repository: Path, model: str) -> str:
    text = (repository / model / "1" / "manifest.json").read_text()
    account: dict[str, str] = json.loads(text)
    return account["weights"]


@dataclass(frozen=True)
class Filled:
    """A repository that `lipserve export all` has filled, and what that said on stderr."""

    path: Path
    said: str


@pytest.fixture(scope="module")
def filled(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    path, said = tmp_path_factory.mktemp("all"), io.StringIO()
    with contextlib.redirect_stderr(said):
        assert main(["all", "--mediapipe", str(wheel), "-o", str(path)]) == 0
    return Filled(path, said.getvalue())


def test_all_fills_a_repository_that_verifies(filled: Filled) -> None:
    assert "wav2lip_generator: compressed, wav2lip_grid.pth, sha256 " in filled.said
    assert {path.name for path in filled.path.iterdir()} == {leaf.name for leaf in HELD}
    assert weights(filled.path, "face_detector").startswith("face_detection_yunet_2026may.onnx, sha256 ")
    assert weights(filled.path, "wav2lip_generator").startswith("wav2lip_grid.pth, sha256 ")
    for leaf in PIPELINES["lipwarp"].leaves(Form()):
        assert weights(filled.path, leaf.name).startswith(f"{leaf.name}.safetensors, sha256 ")
    assert main(["verify", str(filled.path)]) == 0


def test_a_users_weights_are_named(tmp_path: Path) -> None:
    checkpoint, renderer = tmp_path / "lrs3-nota-wav2lip.pth", tmp_path / "mine.safetensors"
    torch.save(random_generator(VARIANTS["compressed"], 9).state_dict(), checkpoint)
    shipped.save(renderer, LipRenderer().state_dict(), {"steps": "0"})
    repository = tmp_path / "repository"
    assert main(["wav2lip", "--checkpoint", str(checkpoint), "-o", str(repository)]) == 0
    assert weights(repository, "wav2lip_generator").startswith("lrs3-nota-wav2lip.pth, sha256 ")
    assert main(["lipwarp", "--lip-renderer", str(renderer), "-o", str(repository)]) == 0
    assert weights(repository, "lip_renderer").startswith("mine.safetensors, sha256 ")
    assert weights(repository, "lip_motion").startswith("lip_motion.safetensors, sha256 ")


def test_weights_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renderer = tmp_path / "other.safetensors"
    shipped.save(renderer, {"weight": torch.zeros(3)}, {"steps": "0"})
    repository = tmp_path / "repository"
    assert main(["lipwarp", "--lip-renderer", str(renderer), "-o", str(repository)]) == 5
    assert "does not fit the network LipRenderer" in capsys.readouterr().err
    assert not repository.exists()


def test_another_yunet_is_refused_unless_allowed(
    tmp_path: Path, wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "yunet.onnx"
    own = files.shipped_file(files.YUNET.name).read_bytes()
    other.write_bytes(own + b"\x32\x00")  # an empty doc string: still the same network
    arguments = ["faces", "--mediapipe", str(wheel), "--yunet", str(other), "-o", str(tmp_path / "r")]
    assert main(arguments) == 5
    assert "--allow-unpinned" in capsys.readouterr().err
    assert main([*arguments, "--allow-unpinned"]) == 0
    other.write_bytes(b"not an onnx file")
    assert main([*arguments, "--allow-unpinned"]) == 5
    assert "is not a YuNet" in capsys.readouterr().err


def test_engines_for_checking_are_built_once_under_another_name(
    tmp_path: Path, filled: Filled, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="install lipserve[rtx]")
    shutil.copytree(filled.path, tmp_path, dirs_exist_ok=True)
    build = ["engines", "--target", "sm80", "--repository", str(tmp_path)]
    assert main(build) == 0
    (key,) = stored_keys(tmp_path)
    assert str(key).startswith("sm80-rtx1.7.1-")
    assert not list(tmp_path.rglob("model.plan"))
    for leaf in HELD:
        account = json.loads(key.plan(tmp_path, leaf.name).with_name("check.json").read_text())
        assert account["purpose"].startswith("checking only")
        assert account["compute_capability"] == "sm80"
        shapes = account["shapes"][leaf.inputs[0].name]
        assert [shape[0] for shape in shapes] == [1, leaf.max_batch_size // 2, leaf.max_batch_size]
    assert main(["verify", str(tmp_path)]) == 0

    kept = key.plan(tmp_path, "face_detector")
    damaged = key.plan(tmp_path, "face_landmarks")
    written = kept.stat().st_mtime_ns
    damaged.write_bytes(b"half of it")
    capsys.readouterr()
    assert main(build) == 0
    said = capsys.readouterr().err
    assert "[1/6] face_detector: there already" in said
    assert "[2/6] face_landmarks: building fp16 for sm80 with tensorrt_rtx" in said
    assert "6 plans for checking only, 1 of them new" in said
    assert kept.stat().st_mtime_ns == written
    assert damaged.stat().st_size > 100_000
    assert main(["verify", str(tmp_path)]) == 0

    assert main(["engines", "--target", "sm99", "--repository", str(tmp_path)]) == 5
    assert "Known targets" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has a GPU")
def test_engines_for_serving_need_a_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "--repository", str(tmp_path)]) == 5
    assert "--target sm80" in capsys.readouterr().err
