from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lipserve.contracts import MODELS, WAV2LIP_GENERATOR, Form, TierName, of_tier
from lipserve.errors import SetupError
from lipserve.tiers import LATENTSYNC, CropForm
from lipserve_server.repository import models, pbtxt
from lipserve_server.repository.manifest import read_crops, read_form

MOVING = {model.name for model in of_tier("lipwarp")}
FAST = {model.name for model in of_tier("wav2lip")}
QUALITY = {model.name for model in of_tier("latentsync")}


def export(folder: Path, *tiers: TierName, form: Form = Form(256, 16)) -> Path:  # noqa: B008 (a frozen value)
    """Lay files where the exporter puts graphs: assembly looks at their names and manifests only."""
    for model in (model for tier in tiers for model in of_tier(tier) if model.kind == "leaf"):
        graph = folder / model.name / "1" / "model.onnx"
        graph.parent.mkdir(parents=True, exist_ok=True)
        graph.write_bytes(b"graph")
        account = {"weights": "x", "resolution": form.resolution, "channels": form.channels}
        graph.with_name("manifest.json").write_text(json.dumps(account))
    return folder


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file()
    }


@pytest.mark.parametrize(
    ("tiers", "names"),
    [
        (("lipwarp",), MOVING),
        (("wav2lip",), FAST),
        (("latentsync",), QUALITY),
        (("wav2lip", "latentsync"), FAST | QUALITY),
        (("lipwarp", "wav2lip", "latentsync"), MOVING | FAST | QUALITY),
    ],
)
def test_a_repository_becomes_the_tiers_that_are_exported(
    tmp_path: Path, tiers: tuple[TierName, ...], names: set[str]
) -> None:
    held = models.assemble(export(tmp_path, *tiers))
    assert {model.name for model in held} == names
    assert models.held_tiers(tmp_path) == tiers
    assert {path.parent.name for path in tmp_path.glob("*/config.pbtxt")} == names
    for model in held:
        assert (tmp_path / model.name / "1" / "model.py").is_file() == (model.kind != "ensemble")
        if model.kind == "leaf":
            assert (tmp_path / model.name / "1" / "model.onnx").read_bytes() == b"graph"


@pytest.mark.parametrize("tier", ["lipwarp", "wav2lip"])
def test_a_repository_without_forms_is_what_is_committed(tmp_path: Path, tier: TierName) -> None:
    models.assemble(export(tmp_path, tier))
    for name in pbtxt.rendered(of_tier(tier)):
        assert (tmp_path / name).read_text() == (models.template() / name).read_text()


def test_the_leaves_get_the_shapes_that_they_were_exported_for(tmp_path: Path) -> None:
    form = Form(512, 32)
    models.assemble(export(tmp_path, "latentsync", form=form))
    text = (tmp_path / "denoise_step" / "configs" / "embedded.pbtxt").read_text()
    assert "dims: [2, 32, 16, 64, 64]" in text
    assert "dims: [3, 512, 512]" in (tmp_path / "vae_encoder" / "config.pbtxt").read_text()
    decoder = next(model for model in of_tier("latentsync", form) if model.name == "vae_decoder")
    assert (tmp_path / "vae_decoder" / "config.pbtxt").read_text() == pbtxt.config(decoder, "tensorrt")


def test_leaves_of_different_resolutions_are_refused(tmp_path: Path) -> None:
    export(tmp_path, "latentsync")
    manifest = tmp_path / "vae_encoder" / "1" / "manifest.json"
    manifest.write_text(json.dumps({"resolution": 512, "channels": 16}))
    with pytest.raises(SetupError, match=r"vae_encoder was exported for 512 pixels .* denoise_step for 256"):
        models.assemble(tmp_path)


def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path) -> None:
    export(tmp_path, "latentsync")
    (tmp_path / "denoise_step" / "1" / "manifest.json").write_text('{"resolution": 300}')
    with pytest.raises(SetupError, match=r"manifest\.json that cannot be read.*Export the models again"):
        models.assemble(tmp_path)


def test_assembling_again_writes_nothing(tmp_path: Path) -> None:
    export(tmp_path, "wav2lip", "latentsync")
    models.assemble(tmp_path)
    before = snapshot(tmp_path)
    models.assemble(tmp_path)
    assert snapshot(tmp_path) == before


def test_a_repository_that_cannot_be_completed_is_named(tmp_path: Path) -> None:
    (export(tmp_path, "wav2lip") / "wav2lip_preprocess").write_text("a file")
    with pytest.raises(SetupError, match=r"cannot be completed: .*wav2lip_preprocess"):
        models.assemble(tmp_path)


def test_assembly_mends_what_differs(tmp_path: Path) -> None:
    models.assemble(export(tmp_path, "wav2lip"))
    config = tmp_path / "wav2lip" / "config.pbtxt"
    config.write_text("name: 'old'")
    models.assemble(tmp_path)
    assert config.read_text() == pbtxt.rendered()["wav2lip/config.pbtxt"]


def test_missing_graphs_are_named_of_the_nearest_tier(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"lacks face_detector/1/model\.onnx, .*lipserve export all"):
        models.assemble(tmp_path)
    export(tmp_path, "latentsync")
    (tmp_path / "vae_decoder" / "1" / "model.onnx").unlink()
    (tmp_path / "face_detector" / "1" / "model.onnx").unlink()
    (tmp_path / "face_landmarks" / "1" / "model.onnx").unlink()
    assert models.missing_leaves(tmp_path, "latentsync") == [
        "face_detector",
        "face_landmarks",
        "vae_decoder",
    ]
    export(tmp_path, "wav2lip")
    (tmp_path / "wav2lip_generator" / "1" / "model.onnx").unlink()
    assert models.missing_leaves(tmp_path, "wav2lip") == ["wav2lip_generator"]


def test_leaves_that_the_tier_lipwarp_lacks_are_named(tmp_path: Path) -> None:
    export(tmp_path, "lipwarp")
    (tmp_path / "lip_motion" / "1" / "model.onnx").unlink()
    assert models.missing_leaves(tmp_path, "lipwarp") == ["lip_motion"]
    with pytest.raises(SetupError, match=r"lacks lip_motion/1/model\.onnx\. .*lipserve export all -o"):
        models.assemble(tmp_path)
    export(tmp_path, "wav2lip")
    assert {model.name for model in models.assemble(tmp_path)} == FAST
    assert not (tmp_path / "lip_renderer" / "config.pbtxt").exists()


def test_a_tier_in_part_leaves_the_other_alone(tmp_path: Path) -> None:
    export(tmp_path, "wav2lip", "latentsync")
    (tmp_path / "vae_decoder" / "1" / "model.onnx").unlink()
    assert {model.name for model in models.assemble(tmp_path)} == FAST
    assert not (tmp_path / "denoise_step" / "config.pbtxt").exists()


@contextmanager
def another_user(folder: Path) -> Iterator[None]:
    """Be somebody who may not look into a folder: root may always."""
    folder.chmod(0)
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_repository_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    leaf = tmp_path / "models/face_detector"
    (leaf / "1").mkdir(parents=True)
    for folder in (leaf, tmp_path):
        with another_user(folder), pytest.raises(SetupError, match=r"Permission denied.*chmod") as caught:
            models.held_models(tmp_path / "models")
        folder.chmod(0o755)
        assert str(leaf) in str(caught.value)


def test_a_stale_file_is_named(tmp_path: Path) -> None:
    for name, text in pbtxt.rendered().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert models.stale(tmp_path) == []
    (tmp_path / "wav2lip_preprocess" / "configs" / "embedded.pbtxt").write_text("")
    assert models.stale(tmp_path) == ["wav2lip_preprocess/configs/embedded.pbtxt"]


def test_a_batching_leaf_waits_for_its_batch_as_long_as_the_contract_says() -> None:
    text = pbtxt.config(WAV2LIP_GENERATOR, "tensorrt")
    assert f"max_queue_delay_microseconds: {WAV2LIP_GENERATOR.max_queue_delay_us} " in text
    assert "max_batch_size: 64" in text


def test_every_model_belongs_to_a_tier() -> None:
    assert set(MODELS) == MOVING | FAST | QUALITY


def supply_landmarks(folder: Path) -> Path:
    """Lay the network of 106 points there, as a user may."""
    graph = folder / "face_landmarks_106" / "1" / "model.onnx"
    graph.parent.mkdir(parents=True)
    graph.write_bytes(b"graph")
    graph.with_name("manifest.json").write_text(json.dumps({"weights": "x"}))
    return folder


def test_landmarks_that_a_user_supplied_are_served_with_the_quality_tier(tmp_path: Path) -> None:
    form = Form(512, 32)
    repository = supply_landmarks(export(tmp_path, "latentsync", form=form))
    held = models.assemble(repository)
    assert {model.name for model in held} == QUALITY | {"face_landmarks_106"}
    assert read_form(repository) == Form(512, 32, "106")
    assert read_crops(repository, LATENTSYNC) == CropForm(512, landmarks="106")
    folder = repository / "face_landmarks_106"
    assert "dims: [106, 2]" in (folder / "configs" / "embedded.pbtxt").read_text()
    assert 'platform: "tensorrt_plan"' in (folder / "config.pbtxt").read_text()
    assert "class TritonPythonModel(LeafModel)" in (folder / "1" / "model.py").read_text()


def test_without_them_faces_are_aligned_by_the_mesh(tmp_path: Path) -> None:
    export(tmp_path, "latentsync")
    assert read_form(tmp_path).landmarks == "mesh"
    assert read_crops(tmp_path, LATENTSYNC).landmarks == "mesh"
    assert {model.name for model in models.assemble(tmp_path)} == QUALITY


def test_a_repository_without_the_quality_tier_leaves_them_alone(tmp_path: Path) -> None:
    held = models.assemble(supply_landmarks(export(tmp_path, "lipwarp")))
    assert {model.name for model in held} == MOVING
    assert not (tmp_path / "face_landmarks_106" / "config.pbtxt").exists()
