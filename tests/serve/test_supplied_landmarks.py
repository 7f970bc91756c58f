"""The quality tier with a network of 106 landmarks that a user supplied, on a real Triton."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from demo import portrait
from lipserve import Client, audio
from lipserve_export.faces.leaves import export_faces
from lipserve_server.launcher.embedded import EmbeddedServer
from tests.support import insightface

pytestmark = [pytest.mark.serve, pytest.mark.slow]

FRAMES = 16


@pytest.mark.whole
def test_its_leaf_is_served_and_asked_in_every_frame(exported_latentsync: Path, tmp_path: Path) -> None:
    repository, network = tmp_path / "repository", tmp_path / "2d106det.onnx"
    shutil.copytree(exported_latentsync, repository)
    network.write_bytes(insightface.landmarks106(points=np.linspace((40, 60), (150, 130), 106)))
    export_faces(repository, lambda line: None, landmarks_file=network)
    video, speech = portrait.clip(FRAMES / 25, (256, 256)), audio.wav(np.zeros(FRAMES * 640, np.float32))
    with (
        EmbeddedServer(repository, 0, 0, log_file=tmp_path / "triton.log") as server,
        Client(server.url) as client,
    ):
        (held,) = [model for model in client.models() if model.name == "face_landmarks_106"]
        assert (held.kind, held.tier, held.state) == ("leaf", "latentsync", "READY")
        (health,) = client.health(deep=True)
        assert health.ok
        assert "face_landmarks_106" in {model.name for model in health.models}
        result = client.dub(video, speech, tier="latentsync", steps=1)
    assert result.report.frames == FRAMES
    assert result.report.faceless_frames == 0
    assert result.report.detector_calls >= FRAMES, "the detector's box of every frame"
