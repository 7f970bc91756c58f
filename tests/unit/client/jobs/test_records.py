"""Jobs as a gateway tells of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lipserve.errors import CancelledError, InternalError, VideoError
from lipserve_client._jobs.records import Batch, batch_of, job_of
from lipserve_jobs.records import Fault, Job, JobRequest, Result
from lipserve_jobs.records.view import JobView

FILM = "https://example.com/film.mp4"


def _view(job: Job, price: float | None = None) -> dict[str, Any]:
    """Return what the gateway answers."""
    return JobView.of(job, price).model_dump(mode="json")


def _job(**fields: Any) -> Job:
    request = JobRequest(video=FILM, speech="https://example.com/a.wav", name="One", **fields)
    return Job.new(request, "acme", id="1" * 32)


def test_a_job_is_what_the_gateway_says() -> None:
    record = _job(metadata={"order": "7"}, priority="high", webhook="https://a/hook?b")
    record = record.changed(created=0.25, state="making", pieces=5, frames=500, planned=1.0)
    record = record.with_piece(1, 100, 2.5)
    job = job_of(_view(record, 3600))
    assert (job.id, job.kind, job.tier, job.state) == ("1" * 32, "dub", "lipwarp", "making")
    assert (job.name, job.metadata, job.priority) == ("One", {"order": "7"}, "high")
    assert (job.frames, job.frames_done, job.pieces, job.pieces_made) == (500, 100, 5, 1)
    assert (job.work_seconds, job.cost) == (2.5, 2.5)
    assert job.created == datetime(1970, 1, 1, 0, 0, 0, 250_000, UTC)
    assert (job.webhook, job.told) == ("https://a/hook", "pending")
    assert job.seconds_left is not None
    assert (job.error, job.batch, job.ended, job.size) == (None, None, None, None)
    assert not job.final
    job.check()


def test_a_failed_job_raises_the_error_that_it_failed_by() -> None:
    fault = Fault(code="invalid_video", message="It is no video.", remedy="Send one.")
    job = job_of(_view(_job().ended_as("failed", 60, error=fault)))
    assert job.final
    with pytest.raises(VideoError, match="It is no video") as raised:
        job.check()
    assert raised.value.remedy == "Send one."


def test_a_cancelled_job_is_a_cancelled_error() -> None:
    with pytest.raises(CancelledError, match="1" * 32):
        job_of(_view(_job().ended_as("cancelled", 60))).check()


def test_a_result_tells_its_size() -> None:
    result = Result(key="k", size=12, sha256="0" * 64)
    job = job_of(_view(_job().ended_as("done", 60, result=result, seconds=4.0)))
    assert (job.size, job.seconds) == (12, 4.0)
    assert job.expires is not None
    assert job.ended is not None
    assert round((job.expires - job.ended).total_seconds()) == 60


@pytest.mark.parametrize("view", [None, [], {}, {"id": "1"}, "text"])
def test_an_answer_that_is_no_job_says_so(view: Any) -> None:
    with pytest.raises(InternalError, match="cannot be read"):
        job_of(view)


def test_a_time_that_is_none_says_so() -> None:
    with pytest.raises(InternalError, match="cannot be read"):
        job_of({**_view(_job()), "created": "yesterday"})


def _batch(**counts: int) -> Batch:
    state = "open"
    return batch_of(
        {"id": "1" * 32, "name": "", "state": state, "rows": 3, "counts": {"done": 0, "making": 0, **counts},
         "waiting": 3 - sum(counts.values()), "created": "2026-11-30T12:00:00.000Z"}
    )  # fmt: skip


def test_a_batch_has_ended_with_its_last_job() -> None:
    assert not _batch(done=2).final
    assert not _batch(done=2, making=1).final
    assert _batch(done=1, failed=1, cancelled=1).final
