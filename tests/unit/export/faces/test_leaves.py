"""What `lipserve export faces` writes of networks that a user supplies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lipserve.contracts import Form, of_tier
from lipserve.errors import SetupError
from lipserve_export.faces.leaves import export_faces
from lipserve_export.graphs.held import held
from lipserve_export.graphs.verify import verify
from tests.support import insightface
from tests.support.constant_leaves import quality


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    detector, landmarks = tmp_path / "det_10g.onnx", tmp_path / "2d106det.onnx"
    detector.write_bytes(insightface.scrfd())
    landmarks.write_bytes(insightface.landmarks106())
    return detector, landmarks


@pytest.mark.parametrize("beside", ["constant leaves", pytest.param("networks", marks=pytest.mark.whole)])
def test_supplied_networks_become_leaves_that_verify_and_name_their_origin(
    beside: str, files: tuple[Path, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    repository = tmp_path / "repository"
    if beside == "networks":
        shutil.copytree(request.getfixturevalue("exported_latentsync"), repository)
    else:
        quality(repository, Form())
    said: list[str] = []
    export_faces(repository, said.append, scrfd_file=files[0], landmarks_file=files[1])
    assert sum("for non-commercial use only" in line for line in said) == 2
    for leaf, variant in (("face_detector", "scrfd"), ("face_landmarks_106", "2d106det")):
        told = json.loads((repository / leaf / "1/manifest.json").read_text())
        assert told["variant"] == variant
        assert "non-commercial" in told["weights"]
        assert {file["precision"] for file in told["files"]} == {"fp32", "fp16"}
        assert told["parameters"] > 100
        assert told["macs"] > 1000
    names = {contract.name for contract in held(repository)}
    assert names == {m.name for m in of_tier("latentsync", Form(landmarks="106")) if m.kind == "leaf"}
    verify(repository, said.append)
    assert "face_landmarks_106: 2d106det, model.onnx, model.fp16.onnx: signature" in "\n".join(said)


def test_without_them_nothing_of_theirs_is_there(exported_latentsync: Path) -> None:
    assert not (exported_latentsync / "face_landmarks_106").exists()
    assert "face_landmarks_106" not in {contract.name for contract in held(exported_latentsync)}


def test_a_network_that_takes_one_picture_alone_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    files[0].write_bytes(insightface.scrfd(frozen=True))
    with pytest.raises(SetupError, match=r"det_10g\.onnx cannot be run as face_detector"):
        export_faces(tmp_path / "repository", lambda line: None, scrfd_file=files[0])
    assert not (tmp_path / "repository" / "face_detector").exists()
