"""Jobs from Python, through a real queue, store, gateway, worker and Triton."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from demo import portrait
from lipserve import Client, Jobs
from lipserve_client._samples import SPEECH
from tests.support.local_service import LocalService
from tests.support.servers import RunningServer

pytestmark = pytest.mark.serve


def pictures(film: bytes, folder: Path) -> np.ndarray:
    path = folder / "film.mp4"
    path.write_bytes(film)
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


def test_a_job_makes_the_pictures_of_a_call_and_measures_as_one(
    server: RunningServer, service: LocalService, tmp_path: Path
) -> None:
    jobs = Jobs(service.url, timeout=200)
    video = portrait.clip(1.0, (128, 128))
    with Client(server.url, provenance=False) as client:
        called = client.dub(video, SPEECH, on_length_mismatch="keep")
        faces, check = client.faces(video), client.check(video, SPEECH)
    job = jobs.submit(video, SPEECH, on_length_mismatch="keep")
    made = jobs.wait(job)
    assert (pictures(made.content, tmp_path) == pictures(called.content, tmp_path)).all()
    assert made.report.driven_frames == called.report.driven_frames
    assert made.report.weights == called.report.weights
    assert jobs.sheet(job).startswith(b"\x89PNG")

    found = jobs.faces(video)
    assert [person.box for person in found.people] == [person.box for person in faces.people]
    assert found.check.faces[0].agreement == faces.check.faces[0].agreement
    assert found.rows() == faces.rows()
    assert found.sheet == faces.sheet
    assert jobs.check(video, SPEECH).rows() == check.rows()
