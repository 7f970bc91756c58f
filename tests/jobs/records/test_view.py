"""A job as callers see it."""

from __future__ import annotations

from typing import Any

from lipserve_jobs.records import Fault, Job, JobRequest, Result
from lipserve_jobs.records.view import JobView, stamp

FILM = "https://example.com/film.mp4"


def _job(**more: Any) -> Job:
    request = JobRequest(video=FILM, speech="https://example.com/a.wav", name="One", **more)
    return Job.new(request, "acme", id="1" * 32)


def test_a_new_job_says_where_everything_will_be() -> None:
    job = _job(metadata={"order": "7"}, priority="high")
    view = JobView.of(job, None).model_dump(mode="json")
    assert view["state"] == "queued"
    assert (view["name"], view["metadata"], view["priority"]) == ("One", {"order": "7"}, "high")
    assert view["progress"] == {"frames": 0, "frames_done": 0, "pieces": 0, "pieces_made": 0}
    assert view["links"]["result"] == f"/v1/jobs/{'1' * 32}/result"
    assert view["created"] == stamp(job.created)
    assert (view["cost"], view["error"], view["webhook"], view["expires"], view["size"]) == (None,) * 5


def test_a_job_in_the_middle_counts_its_pieces() -> None:
    job = _job().changed(state="making", pieces=5, frames=500).with_piece(1, 100, 2.5).with_piece(4, 90, 2.5)
    view = JobView.of(job, 3.6)
    assert (view.progress.pieces_made, view.progress.frames_done) == (2, 190)
    assert view.cost == 0.005


def test_a_failed_job_says_why_and_a_webhook_hides_its_secrets() -> None:
    job = _job(webhook="https://u:secret@example.com/hook?token=secret").ended_as(
        "failed", 60, error=Fault(code="invalid_video", message="It is no video.", remedy="Send one.")
    )
    view = JobView.of(job, None).model_dump(mode="json")
    assert view["webhook"] == {"url": "https://example.com/hook", "told": "pending"}
    assert view["error"] == {"code": "invalid_video", "message": "It is no video.", "remedy": "Send one."}
    assert "secret" not in str(view)


def test_a_result_tells_its_size_and_no_key() -> None:
    job = _job().ended_as("done", 60, result=Result(key="jobs/secret", size=12, sha256="0" * 64), seconds=4.0)
    view = JobView.of(job, None).model_dump(mode="json")
    assert (view["size"], view["seconds"]) == (12, 4.0)
    assert "jobs/secret" not in str(view)


def test_times_are_rfc_3339() -> None:
    assert stamp(0.25) == "1970-01-01T00:00:00.250Z"
