"""`lipserve export faces`: export the face models into a model repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from lipserve.contracts import FACE_DETECTOR, FACE_LANDMARKS, FACE_LANDMARKS_106, Model
from lipserve.errors import SetupError
from lipserve_export.faces.detector import yunet
from lipserve_export.faces.landmarks import face_landmarks
from lipserve_export.faces.landmarks106 import face_landmarks_106
from lipserve_export.faces.scrfd import scrfd
from lipserve_export.fetch.files import (
    FACE_MESH,
    YUNET,
    Pinned,
    from_wheel,
    mediapipe_wheel,
    read_bytes,
    sha256,
    shipped_file,
)
from lipserve_export.graphs import counts, manifest
from lipserve_export.graphs.fp16 import to_fp16
from lipserve_export.graphs.runtime import run, session

_INSIGHTFACE = "InsightFace, given by the user: for non-commercial use only"


def export_faces(
    repository: Path,
    say: Callable[[str], None],
    wheel: Path | None = None,
    yunet_file: Path | None = None,
    allow_unpinned: bool = False,
    scrfd_file: Path | None = None,
    landmarks_file: Path | None = None,
) -> None:
    """Write `face_detector` and `face_landmarks`, and `face_landmarks_106` where its network is given.

    Args:
        wheel: mediapipe's wheel; by default the cached or a fetched one.
        yunet_file: YuNet; by default the one that comes with LipServe.
        allow_unpinned: accept a YuNet of another sha256 (another release, say).
        scrfd_file: InsightFace's detector, in YuNet's place.
        landmarks_file: InsightFace's 2d106det: the quality tier aligns faces by it then.
    """
    found = mediapipe_wheel(wheel, say)
    say(f"face_landmarks: MediaPipe's face mesh out of {found.name}")
    mesh = from_wheel(found, FACE_MESH)
    _write(repository, FACE_LANDMARKS.name, "face mesh", face_landmarks(mesh), FACE_MESH)
    if landmarks_file is not None:
        _supplied(repository, FACE_LANDMARKS_106, "2d106det", face_landmarks_106, landmarks_file, say)
    if scrfd_file is not None:
        _supplied(repository, FACE_DETECTOR, "scrfd", scrfd, scrfd_file, say)
    else:
        _yunet(repository, yunet_file or shipped_file(YUNET.name), allow_unpinned, say)


def _yunet(repository: Path, yunet_file: Path, allow_unpinned: bool, say: Callable[[str], None]) -> None:
    say(f"face_detector: YuNet, {yunet_file.name}")
    data = read_bytes(yunet_file)
    source = Pinned(yunet_file.name, sha256(data), YUNET.source)
    if source.sha256 != YUNET.sha256 and not allow_unpinned:
        raise SetupError(
            f"{yunet_file} is not the known {YUNET.name}: its sha256 is {source.sha256}, not {YUNET.sha256}.",
            "Give that file, or add --allow-unpinned if you trust this one.",
        )
    _write(repository, FACE_DETECTOR.name, "yunet", yunet(data), source)


def _supplied(
    repository: Path,
    contract: Model,
    variant: str,
    wrapped: Callable[[bytes], onnx.ModelProto],
    path: Path,
    say: Callable[[str], None],
) -> None:
    """Write a leaf around a network of InsightFace's, or raise SetupError where it cannot be one."""
    say(f"{contract.name}: {variant}, {path.name}, {_INSIGHTFACE}")
    data = read_bytes(path)
    graph = wrapped(data)
    _check_batches(graph, contract, path)
    _write(repository, contract.name, variant, graph, Pinned(path.name, sha256(data), _INSIGHTFACE))


def _check_batches(graph: onnx.ModelProto, contract: Model, path: Path) -> None:
    """Raise SetupError unless two pictures together give what each gives alone."""
    (tensor,) = contract.inputs
    pictures = np.random.default_rng(0).integers(0, 256, (2, *tensor.dims), np.uint8)
    try:
        running = session(graph)
        alone = [run(running, {tensor.name: pictures[i : i + 1]}) for i in range(2)]
        together = run(running, {tensor.name: pictures})
        for name, value in together.items():
            np.testing.assert_allclose(value, np.concatenate([a[name] for a in alone]), rtol=1e-3, atol=1e-2)
    except Exception as error:  # ONNX Runtime's own have no common root
        raise SetupError(
            f"{path} cannot be run as {contract.name}: {str(error).strip().splitlines()[0]}.",
            "Give the file as InsightFace publishes it.",
        ) from error


def _write(repository: Path, model: str, variant: str, graph: onnx.ModelProto, source: Pinned) -> None:
    described = manifest.Manifest(
        model=model,
        weights=f"{Path(source.name).name}, sha256 {source.sha256}, {source.source}",
        variant=variant,
        parameters=counts.parameters(graph),
        macs=counts.macs(graph).input_grid,
    )
    manifest.write(repository, described, {"fp32": graph, "fp16": to_fp16(graph)})
