"""`lipserve-export faces`: the two face leaves into a model repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from lipserve.contracts import FACE_DETECTOR, FACE_LANDMARKS
from lipserve.errors import SetupError
from lipserve_export.faces.detector import yunet
from lipserve_export.faces.landmarks import face_landmarks
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


def export_faces(
    repository: Path,
    say: Callable[[str], None],
    wheel: Path | None = None,
    yunet_file: Path | None = None,
    allow_unpinned: bool = False,
) -> None:
    """Write `face_detector` and `face_landmarks`.

    Args:
        wheel: mediapipe's wheel; by default the cached or a fetched one.
        yunet_file: YuNet; by default the one that comes with LipServe.
        allow_unpinned: accept a YuNet of another sha256 (another release, say).
    """
    found = mediapipe_wheel(wheel, say)
    say(f"face_landmarks: MediaPipe's face mesh out of {found.name}")
    mesh = from_wheel(found, FACE_MESH)
    _write(repository, FACE_LANDMARKS.name, "face mesh", face_landmarks(mesh), FACE_MESH)
    yunet_file = yunet_file or shipped_file(YUNET.name)
    say(f"face_detector: YuNet, {yunet_file.name}")
    data = read_bytes(yunet_file)
    source = Pinned(yunet_file.name, sha256(data), YUNET.source)
    if source.sha256 != YUNET.sha256 and not allow_unpinned:
        raise SetupError(
            f"{yunet_file} is not the known {YUNET.name}: its sha256 is {source.sha256}, not {YUNET.sha256}.",
            "Give that file, or pass --allow-unpinned where you trust this one.",
        )
    _write(repository, FACE_DETECTOR.name, "yunet", yunet(data), source)


def _write(repository: Path, model: str, variant: str, graph: onnx.ModelProto, source: Pinned) -> None:
    described = manifest.Manifest(
        model=model,
        weights=f"{Path(source.name).name}, sha256 {source.sha256}, {source.source}",
        variant=variant,
        parameters=counts.parameters(graph),
        macs=counts.macs(graph).input_grid,
    )
    manifest.write(repository, described, {"fp32": graph, "fp16": to_fp16(graph)})
