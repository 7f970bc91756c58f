from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from lipserve.contracts import FACE_LANDMARKS, FACE_LEAVES, LEAVES, Form, leaves, leaves_of
from lipserve.engine_store import EngineKey, EngineRecord, graph_digests
from lipserve.errors import SetupError
from lipserve_export.engines.store import place
from lipserve_export.fetch.files import sha256
from lipserve_export.graphs import manifest
from lipserve_export.graphs.held import held
from lipserve_export.graphs.verify import check_signature, verify
from tests.support.constant_leaves import constant_leaf, quality, record


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for contract in LEAVES:
        manifest.write(tmp_path, record(contract), {"fp32": constant_leaf(contract)})
    return tmp_path


def silent(line: str) -> None:
    pass


def test_a_whole_repository_passes_and_says_so(repository: Path) -> None:
    lines: list[str] = []
    verify(repository, lines.append)
    assert [line.split(":")[0] for line in lines] == [contract.name for contract in LEAVES]


def test_the_manifest_carries_the_digest_of_what_lies_there(repository: Path) -> None:
    folder = manifest.folder(repository, "face_landmarks")
    read = json.loads((folder / "manifest.json").read_text())
    assert read["weights"] == "none"
    data = (folder / "model.onnx").read_bytes()
    assert read["files"] == [
        {"name": "model.onnx", "precision": "fp32", "sha256": sha256(data), "bytes": len(data)}
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.onnx"]


def tamper(repository: Path) -> None:
    path = manifest.folder(repository, "face_landmarks") / "model.onnx"
    path.write_bytes(path.read_bytes() + b"\0")


def no_manifest(repository: Path) -> None:
    (manifest.folder(repository, "face_landmarks") / "manifest.json").unlink()


def odd_manifest(repository: Path) -> None:
    (manifest.folder(repository, "face_landmarks") / "manifest.json").write_text('{"model": 3}')


def no_graph(repository: Path) -> None:
    (manifest.folder(repository, "face_landmarks") / "model.onnx").unlink()


def not_finite(repository: Path) -> None:
    graph = constant_leaf(FACE_LANDMARKS, float("nan"))
    manifest.write(repository, record(FACE_LANDMARKS), {"fp32": graph})


def plan_record(onnx_sha256: str) -> EngineRecord:
    return EngineRecord(
        purpose="serving",
        onnx_sha256=onnx_sha256,
        plan_sha256=sha256(b"plan"),
        precision="fp32",
        shapes={},
        flavour="tensorrt",
        version="10.9.0.34",
        compute_capability="sm90",
    )


def key_of(repository: Path) -> EngineKey:
    digests = graph_digests(repository, [leaf.name for leaf in LEAVES], "fp32")
    return EngineKey.of("sm90", "tensorrt", "10.9.0.34", digests.values())


def plans(repository: Path, **foreign: str) -> None:
    """Write plans of the repository's graphs; of `foreign` leaves those of another graph."""
    key = key_of(repository)
    for leaf, digest in graph_digests(repository, [leaf.name for leaf in LEAVES], "fp32").items():
        record = plan_record(foreign.get(leaf, digest))
        assert place(key.plan(repository, leaf), b"plan", record, key)


def foreign_plan(repository: Path) -> None:
    plans(repository, face_landmarks="0" * 64)


def missing_plan(repository: Path) -> None:
    plans(repository)
    key_of(repository).plan(repository, "face_landmarks").unlink()


def damaged_plan(repository: Path) -> None:
    plans(repository)
    key_of(repository).plan(repository, "face_landmarks").write_bytes(b"Plan")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (tamper, "sha256 is not the manifest's"),
        (no_manifest, r"manifest\.json: No such file"),
        (odd_manifest, "not a manifest"),
        (no_graph, r"model\.onnx: No such file"),
        (not_finite, "is not finite"),
        (foreign_plan, r"face_landmarks/model\.plan was built of another graph"),
        (missing_plan, r"face_landmarks/model\.plan is missing"),
        (damaged_plan, r"face_landmarks/model\.plan is not the plan that model\.json"),
    ],
)
def test_faults_of_a_repository_are_named(
    repository: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(repository)
    with pytest.raises(SetupError, match=message) as caught:
        verify(repository, silent)
    assert caught.value.remedy


def test_a_new_export_leaves_the_plans_of_the_old_graphs_to_servers_that_run_them(repository: Path) -> None:
    plans(repository)
    old = key_of(repository)
    manifest.write(repository, record(FACE_LANDMARKS), {"fp32": constant_leaf(FACE_LANDMARKS, 0.125)})
    assert key_of(repository) != old
    assert old.plan(repository, "face_landmarks").is_file()


def faces(repository: Path) -> None:
    for contract in FACE_LEAVES:
        manifest.write(repository, record(contract), {"fp32": constant_leaf(contract)})


def test_a_repository_may_hold_the_fast_tier_alone(tmp_path: Path) -> None:
    for contract in leaves_of("wav2lip"):
        manifest.write(tmp_path, record(contract), {"fp32": constant_leaf(contract)})
    assert held(tmp_path) == leaves_of("wav2lip")
    verify(tmp_path, silent)


def test_a_repository_may_hold_the_quality_tier_alone_in_its_own_shapes(tmp_path: Path) -> None:
    form = Form(512, 16)
    faces(tmp_path)
    quality(tmp_path, form)
    assert held(tmp_path) == (*FACE_LEAVES, *leaves(form))
    lines: list[str] = []
    verify(tmp_path, lines.append)
    assert len(lines) == 7


def test_leaves_of_a_tier_are_all_there_or_none(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="face_detector/1/manifest"):
        held(tmp_path)
    faces(tmp_path)
    with pytest.raises(SetupError, match="speech_encoder/1/manifest"):  # of the tier by default
        held(tmp_path)
    quality(tmp_path, Form(), ["whisper_encoder", "denoise_step"])
    with pytest.raises(SetupError, match="vae_encoder/1/manifest") as caught:
        held(tmp_path)
    assert "`latentsync`" in caught.value.remedy


def test_leaves_of_the_quality_tier_have_one_form(tmp_path: Path) -> None:
    faces(tmp_path)
    quality(tmp_path, Form(256, 16))
    quality(tmp_path, Form(256, 320), ["vae_decoder"])
    with pytest.raises(SetupError, match=r"vae_decoder 256 px / 320") as caught:
        held(tmp_path)
    assert "Export the five together" in caught.value.remedy


def test_a_graph_too_large_to_run_is_said_not_to_have_run(repository: Path) -> None:
    contract = next(model for model in leaves(Form()) if model.name == "vae_decoder")
    large = record(contract).model_copy(update={"macs": 2 * 10**12})
    manifest.write(repository, large, {"fp32": constant_leaf(contract, float("nan"))})
    lines: list[str] = []
    verify(repository, lines.append)
    assert [line for line in lines if "not run: 2.0 T multiplications" in line] == [
        "vae_decoder: constant, model.onnx: signature and digest are right; not run: 2.0 T multiplications"
    ]


@pytest.mark.parametrize("part", ["name", "dtype", "size", "fixed batch"])
def test_a_signature_must_be_the_contracts(part: str) -> None:
    graph = constant_leaf(FACE_LANDMARKS)
    check_signature(graph, FACE_LANDMARKS, Path("model.onnx"))
    value = graph.graph.output[0]
    if part == "name":
        value.name = "POINTS"
    elif part == "dtype":
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    else:
        axis = 1 if part == "size" else 0
        value.type.tensor_type.shape.dim[axis].dim_value = 8
    with pytest.raises(SetupError, match="the contract says"):
        check_signature(graph, FACE_LANDMARKS, Path("model.onnx"))


def test_a_folder_that_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    blocked = tmp_path / "repository"
    blocked.write_text("a file, not a folder")
    with pytest.raises(SetupError, match="cannot be written"):
        manifest.write(blocked, record(FACE_LANDMARKS), {"fp32": constant_leaf(FACE_LANDMARKS)})
