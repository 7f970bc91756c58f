"""Jobs from Python: sent, waited for, fetched; with a real queue, store, gateway and worker."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lipserve import (
    Answer,
    AsyncClient,
    Call,
    CancelledError,
    Client,
    Cue,
    CueError,
    DeadlineExceededError,
    InputError,
    InternalError,
    Job,
    Jobs,
    LipServeError,
    MockTransport,
    NoFaceError,
    Options,
    OptionsError,
    UnavailableError,
    VideoError,
)
from lipserve.media import probe
from lipserve_client import TLS
from lipserve_client._jobs.records import Kind
from lipserve_client._transports.mock import untouched
from tests.jobs.client.conftest import CHECK, ESTIMATE, FACES
from tests.support.local_service import LocalService

NOWHERE = "0" * 32
NOBODY: dict[str, Any] = {"on_no_face": "passthrough"}  # the clips show none


def request_of(gateway: LocalService, job: Job) -> str:
    """Return the request that the gateway has written."""
    return (gateway.folder / f"store/jobs/local/{job.id}/request.json").read_text()


def test_a_job_gives_what_a_call_of_the_client_gives(
    gateway: LocalService, jobs: Jobs, video: bytes, speech: bytes, tmp_path: Path
) -> None:
    with Client(transport=MockTransport(), provenance=False) as client:
        wanted = client.dub(video, speech, crf=30, **NOBODY)
    told: list[tuple[int, int]] = []
    with gateway.worker():
        job = jobs.submit(video, speech, name="One", metadata={"order": "7"}, crf=30, **NOBODY)
        result = jobs.wait(job, output=tmp_path / "out.mp4", on_progress=lambda *at: told.append(at))
    assert result.path == tmp_path / "out.mp4"
    assert result.content == result.path.read_bytes() == wanted.content
    assert result.report.model_copy(update={"stage_seconds": {}}) == wanted.report
    assert told[-1] == (12, 12)
    assert len(result.request_seconds) == 1
    assert result.seconds > 0
    job = jobs.get(job.id)
    assert (job.state, job.name, job.metadata, job.frames) == ("done", "One", {"order": "7"}, 12)
    assert job.size == len(wanted.content)
    assert jobs.wait(job).content == wanted.content  # once more, by bytes
    kept = io.BytesIO()
    assert jobs.wait(job.id, output=kept).path is None
    assert kept.getvalue() == wanted.content


def test_paths_are_sent_and_the_job_is_named_by_the_video(
    gateway: LocalService, jobs: Jobs, video: bytes, speech: bytes, tmp_path: Path
) -> None:
    film, sound = tmp_path / "Ein Film.mp4", tmp_path / "speech.wav"
    film.write_bytes(video)
    sound.write_bytes(speech)
    sent: list[tuple[int, int]] = []
    job = jobs.submit(film, str(sound), background=sound, on_upload=lambda *at: sent.append(at))
    size = len(video) + len(speech)
    assert sent == [(len(video), size), (size, size)], "the sound is sent once"
    assert job.name == "Ein Film.mp4"
    assert request_of(gateway, job).count("file:") == 3
    jobs.erase(job)


def test_addresses_and_uploads_are_not_sent_again(gateway: LocalService, jobs: Jobs, speech: bytes) -> None:
    sound = jobs.upload(speech)
    job = jobs.submit("https://example.com/a/b.mp4?key=1", sound)
    assert job.name == "b.mp4"
    assert sound in request_of(gateway, job)
    jobs.erase(job)


def test_options_cues_and_direction_reach_the_worker(
    gateway: LocalService, jobs: Jobs, video: bytes, speech: bytes
) -> None:
    job = jobs.submit(
        video,
        None,
        Options(crf=30),
        tier="wav2lip",
        cues=[Cue(start=0.1, end=0.3, speech=speech, face="10,20"), {"start": 0.4, "speech": speech}],
        bypass=[(0.0, 0.05)],
        background="video",
        loudness=-16,
        priority="high",
        preset="fast",
    )
    text = request_of(gateway, job)
    assert (job.tier, job.priority) == ("wav2lip", "high")
    for part in ('"crf":30', '"preset":"fast"', '"face":"10,20"', '"start":0.4', '"background":"video"'):
        assert part in text
    assert '"bypass":[{"start":0.0,"end":0.05}]' in text
    jobs.erase(job)


def test_cues_of_other_systems_are_sent_as_our_own(
    gateway: LocalService, jobs: Jobs, video: bytes, speech: bytes, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    (tmp_path / "a.wav").write_bytes(speech)
    cues = tmp_path / "cues.json"
    segment = {"startTime": 0.1, "endTime": 0.3, "audioInput": {"refId": "a"}}
    given = {"input": [{"type": "audio", "refId": "a", "url": "a.wav"}], "segments": [segment], "seed": 1}
    cues.write_text(json.dumps(given))
    job = jobs.submit(video, cues=cues)
    (cue,) = json.loads(request_of(gateway, job))["cues"]
    assert (cue["start"], cue["end"]) == (0.1, 0.3)
    assert cue["speech"].startswith("file:")
    assert "seed" in caplog.text
    jobs.erase(job)
    with pytest.raises(CueError, match="count in frames"):
        jobs.submit("https://example.com/a.mp4", cues=cues)


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"video": b""}, VideoError),
        ({"video": "/nowhere.mp4"}, VideoError),
        ({"crf": 99}, OptionsError),
        ({"tier": "lipsync"}, OptionsError),
        ({"metadata": {"a": "b" * 300}}, OptionsError),
        ({"webhook": "ftp://a"}, OptionsError),
        ({"speech": None}, OptionsError),
        ({"background_lufs": -20}, OptionsError),
        ({"video": "file:" + NOWHERE}, InputError),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_class(
    jobs: Jobs, video: bytes, speech: bytes, wanted: dict[str, Any], error: type[InputError]
) -> None:
    with pytest.raises(error) as raised:
        jobs.submit(**{"video": video, "speech": speech, **wanted})
    assert raised.value.remedy


def test_a_failed_job_raises_the_error_of_the_server_and_leaves_no_file(
    gateway: LocalService, jobs: Jobs, video: bytes, speech: bytes, tmp_path: Path
) -> None:
    def nobody(call: Call) -> Answer:
        raise NoFaceError("No face was found.", "Send a video that shows one.")

    with gateway.worker(MockTransport(nobody)):
        job = jobs.submit(video, speech, **NOBODY)
        with pytest.raises(NoFaceError, match="No face was found") as raised:
            jobs.wait(job, output=tmp_path / "out.mp4")
    assert raised.value.remedy == "Send a video that shows one."
    assert list(tmp_path.iterdir()) == []
    job = jobs.get(job)
    assert job.error is not None
    assert job.error.code == "no_face"
    with gateway.worker():
        assert jobs.retry(job).state == "queued"
        assert jobs.wait(job).report.frames == 12


def test_requests_sent_again_and_pieces_begun_again_are_counted(
    gateway: LocalService, jobs: Jobs, video: bytes, speech: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipserve_client._fleet.FIRST_CONTACT_DELAY", 0.01)
    errors: list[LipServeError] = [
        InternalError("It fails once.", ""),  # the piece is begun again
        UnavailableError("It is full.", ""),  # and its request sent again
        UnavailableError("It is full.", ""),
    ]

    def full(call: Call) -> Answer:
        if errors:
            raise errors.pop(0)
        return untouched(call)

    with gateway.worker(MockTransport(full)):
        assert jobs.wait(jobs.submit(video, speech, **NOBODY)).retries == 3
        assert jobs.wait(jobs.submit(video, speech, **NOBODY)).retries == 0


def test_a_file_that_is_no_video_is_named_as_the_job_names_it(
    gateway: LocalService, jobs: Jobs, speech: bytes
) -> None:
    with gateway.worker(), pytest.raises(VideoError, match=r"^'video' is not a media file"):
        jobs.wait(jobs.submit(b"no film", speech, **NOBODY))


def test_a_cancelled_job_ends_who_waits_for_it(jobs: Jobs, video: bytes, speech: bytes) -> None:
    job = jobs.submit(video, speech)
    seen = jobs.events(job)
    assert next(seen).state == "queued"
    assert jobs.cancel(job).state == "cancelled"
    assert [change.state for change in seen] == ["cancelled"]
    with pytest.raises(CancelledError, match=job.id):
        jobs.wait(job)
    assert jobs.ended(job).state == "cancelled"
    assert jobs.cancel(job).state == "cancelled"


def test_waiting_ends_by_its_limit_and_the_job_goes_on(jobs: Jobs, video: bytes, speech: bytes) -> None:
    job = jobs.submit(video, speech)
    with pytest.raises(DeadlineExceededError, match=r"0\.3 s") as raised:
        jobs.wait(job, timeout=0.3)
    assert "The job goes on" in raised.value.remedy
    assert jobs.get(job).state == "queued"
    jobs.erase(job)


def test_an_erased_job_leaves_nothing(gateway: LocalService, jobs: Jobs, video: bytes, speech: bytes) -> None:
    before = gateway.hand.objects("")
    job = jobs.submit(video, speech)
    assert len(gateway.hand.objects("")) > len(before)
    jobs.erase(job)
    assert gateway.hand.objects("") == before
    with pytest.raises(InputError, match="no such job"):
        jobs.get(job)
    with pytest.raises(InputError, match="no such job"):
        list(jobs.events(job))


def test_jobs_are_listed_newest_first_page_by_page(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipserve_client._jobs.async_jobs._PAGE", 2)
    film, sound = "https://example.com/a.mp4", "https://example.com/a.wav"
    sent = [jobs.submit(film, sound, name=f"listed {number}").id for number in range(5)]
    jobs.cancel(sent[1])
    found = [job.id for job in jobs.list() if job.name.startswith("listed")]
    assert found == sent[::-1]
    assert [job.id for job in jobs.list(limit=3)] == sent[:1:-1]
    assert sent[1] in [job.id for job in jobs.list(state="cancelled")]
    assert [job.id for job in jobs.list(kind="check")] == []
    for id in sent:
        jobs.erase(id)


def test_a_job_that_measures_is_waited_for_and_typed(gateway: LocalService, jobs: Jobs, video: bytes) -> None:
    with gateway.worker(), pytest.raises(InputError) as raised:
        jobs.check(video)  # the mock has no models that measure
    assert "mock" in raised.value.message
    (job,) = jobs.list(kind="check")
    assert job.state == "failed"
    with pytest.raises(OptionsError, match="kind check, not dub"):
        jobs.wait(gateway_done(gateway, job))


@pytest.mark.parametrize(("kind", "wanted"), [("faces", FACES), ("check", CHECK), ("estimate", ESTIMATE)])
def test_what_was_measured_is_typed_as_the_direct_call_has_it(
    jobs: Jobs, measured: Callable[[str], str], kind: Kind, wanted: object
) -> None:
    id = measured(kind)
    assert jobs.get(id).kind == kind
    assert jobs.measured(id) == wanted
    with pytest.raises(OptionsError, match=f"kind {kind}, not dub"):
        jobs.wait(id)
    jobs.erase(id)


def test_a_film_is_not_measured(gateway: LocalService, jobs: Jobs) -> None:
    job = jobs.submit("https://example.com/a.mp4", "https://example.com/a.wav")
    gateway.hand.finish("local", job.id)
    with pytest.raises(OptionsError, match="makes a film"):
        jobs.measured(job)
    jobs.erase(job)


def gateway_done(gateway: LocalService, job: Job) -> str:
    gateway.change(job.id, lambda now: now.changed(state="done", error=None))
    return job.id


def test_usage_counts_what_was_made(gateway: LocalService, jobs: Jobs, video: bytes, speech: bytes) -> None:
    before = jobs.usage()
    with gateway.worker():
        result = jobs.wait(jobs.submit(video, speech, **NOBODY))
    after = jobs.usage()
    assert after.jobs == before.jobs + 1
    assert after.seconds == pytest.approx(before.seconds + 0.48)
    assert after.bytes == before.bytes + len(result.content)
    assert after.quota["jobs"] == 1000


def test_the_twin_is_awaited_and_the_client_has_both(
    gateway: LocalService, video: bytes, speech: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sent() -> bytes:
        async with AsyncClient(jobs=gateway.url) as client:
            jobs = [await client.jobs.submit(video, speech, **NOBODY) for _ in range(2)]
            results = await asyncio.gather(*(client.jobs.wait(job) for job in jobs))
            listed = [job.id async for job in client.jobs.list(limit=2)]
            assert listed == [job.id for job in reversed(jobs)]
            return results[0].content

    with gateway.worker():
        content = asyncio.run(sent())
    assert probe.probe(content).frames == 12
    monkeypatch.setenv("LIPSERVE_JOBS_URL", gateway.url)
    with Client() as client:
        assert next(client.jobs.list(limit=1)).state == "done"


def test_the_calls_work_where_a_loop_runs_already(
    gateway: LocalService, jobs: Jobs, video: bytes, speech: bytes
) -> None:
    async def notebook() -> str:
        job = jobs.submit(video, speech)
        assert next(jobs.events(job)).state == "queued"
        jobs.erase(job)
        return job.id

    assert len(asyncio.run(notebook())) == 32


def test_tls_of_a_plain_address_is_not_looked_at(gateway: LocalService) -> None:
    assert list(Jobs(gateway.url, tls=TLS(ca="/nowhere.pem")).list(state="joining")) == []
