"""Connections that break, gateways that restart: a job is made once, and whoever waits goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from lipserve import TLS, CancelledError, CancelToken, ConnectError, InputError, Jobs
from lipserve_client._jobs import events, uploads
from lipserve_client._jobs.records import Job
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.records.tenant import LOCAL
from tests.support import certificates
from tests.support.cutting import Cutting
from tests.support.local_service import LocalService
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.waiting import until

NOBODY: dict[str, Any] = {"on_no_face": "passthrough"}


@pytest.fixture
def way(gateway: LocalService) -> Iterator[Cutting]:
    with Cutting(gateway.settings.port) as cutting:
        yield cutting


@pytest.fixture
def cut(way: Cutting) -> Jobs:
    """The service over a way that can be cut; it has answered once."""
    jobs = Jobs(way.url, timeout=120)
    jobs.usage()
    return jobs


def folder_of(gateway: LocalService, reference: str) -> Path:
    """Return where the store has the parts of a file, named by their offsets."""
    return gateway.folder / "store/files/local" / reference.removeprefix("file:")


def content_of(gateway: LocalService, reference: str) -> bytes:
    """Return a file as the store has it."""
    parts = sorted(folder_of(gateway, reference).glob("[0-9]*"))
    return b"".join(path.read_bytes() for path in parts)


def test_nothing_that_listens_is_told_at_once() -> None:
    with pytest.raises(ConnectError, match="No gateway answers") as raised:
        Jobs(f"http://127.0.0.1:{free_port('127.0.0.1')}").usage()
    assert "lipserve jobs up" in raised.value.remedy


def test_another_server_at_the_address_is_told(nats: NatsServer) -> None:
    with pytest.raises(ConnectError):  # it speaks first, and it is not HTTP
        Jobs(nats.url.replace("nats", "http"), retries=0).usage()


def test_a_request_whose_answer_is_lost_makes_one_job(gateway: LocalService, way: Cutting, cut: Jobs) -> None:
    known = {job.id for job in cut.list()}
    way.cut(received=0)  # the gateway gets everything, and its answer goes nowhere
    job = cut.submit("https://example.com/a.mp4", "https://example.com/a.wav")
    assert {found.id for found in cut.list()} - known == {job.id}
    cut.erase(job)


def test_the_same_key_is_the_same_job(cut: Jobs) -> None:
    wanted = ("https://example.com/a.mp4", "https://example.com/a.wav")
    first = cut.submit(*wanted, idempotency_key="order 7")
    assert cut.submit(*wanted, idempotency_key="order 7").id == first.id
    assert cut.submit(*wanted).id != first.id
    with pytest.raises(InputError, match="used for another request"):
        cut.submit(*wanted, idempotency_key="order 7", crf=30)
    for job in cut.list():
        cut.erase(job)


@pytest.mark.parametrize("at_once", [16 << 20, 1 << 10], ids=["at once", "in parts"])
def test_the_same_key_and_files_sent_again_are_the_same_job(
    cut: Jobs, video: bytes, speech: bytes, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(uploads, "AT_ONCE", at_once)
    key = f"order {at_once}"
    first = cut.submit(video, speech, idempotency_key=key)
    assert cut.submit(video, speech, idempotency_key=key).id == first.id
    with pytest.raises(InputError, match="used for another request"):
        cut.submit(video + b"!", speech, idempotency_key=key)
    cut.erase(first)


@pytest.mark.parametrize("by_path", [True, False])
def test_a_large_file_goes_in_parts_and_on_after_a_cut(
    gateway: LocalService,
    way: Cutting,
    cut: Jobs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    by_path: bool,
) -> None:
    monkeypatch.setattr(uploads, "AT_ONCE", 1 << 20)
    content = bytes(range(256)) * (11 << 10)  # 2.75 MiB
    file = tmp_path / "large.mp4"
    file.write_bytes(content)
    sent: list[int] = []
    way.cut(sent=700_000, times=2)
    reference = cut.upload(file if by_path else content, on_upload=lambda done, total: sent.append(done))
    assert content_of(gateway, reference) == content
    assert sent[-1] == len(content)
    assert sent == sorted(sent)
    offsets = [int(path.name) for path in folder_of(gateway, reference).glob("[0-9]*")]
    assert any(offset % (1 << 20) for offset in offsets), "it went on in the middle of a part"
    assert "incident" not in caplog.text, "a caller who leaves is no defect"


def test_a_small_file_is_sent_again_after_a_cut(gateway: LocalService, way: Cutting, cut: Jobs) -> None:
    content = bytes(range(256)) * 4000
    told: list[tuple[int, int]] = []
    way.cut(sent=600_000)
    reference = cut.upload(content, on_upload=lambda *at: told.append(at))
    assert content_of(gateway, reference) == content
    assert told == sorted(set(told)), "what is sent again is not told again"
    assert (len(told), told[-1]) == (4, (len(content), len(content)))


def test_a_retry_whose_answer_is_lost_has_begun_the_job_once(
    gateway: LocalService, way: Cutting, cut: Jobs
) -> None:
    job = cut.submit("https://example.com/a.mp4", "https://example.com/a.wav")
    cut.cancel(job)
    way.cut(received=0)
    assert cut.retry(job).state == "queued"
    assert gateway.change(job.id, lambda now: now).round == 2
    with pytest.raises(InputError, match="only one that has failed or was cancelled"):
        cut.retry(job)
    cut.erase(job)


def test_a_file_that_shrinks_while_it_is_sent_is_told(
    cut: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "AT_ONCE", 1 << 16)
    file = tmp_path / "shrinks.mp4"
    file.write_bytes(bytes(1 << 18))

    def shrink(done: int, total: int) -> None:
        file.write_bytes(bytes(1 << 15))

    with pytest.raises(InputError, match="became shorter"):
        cut.upload(file, on_upload=shrink)


def test_a_download_goes_on_where_it_broke(
    gateway: LocalService, way: Cutting, cut: Jobs, video: bytes, speech: bytes, tmp_path: Path
) -> None:
    with gateway.worker():
        job = cut.submit(video, speech, **NOBODY)
        whole = cut.wait(job).content
    way.cut(received=len(whole) // 2 + 2000, times=1)
    assert cut.wait(job, output=tmp_path / "out.mp4").content == whole
    assert way._cuts == 0


def test_who_waits_goes_on_when_the_gateway_was_away(
    gateway: LocalService, way: Cutting, cut: Jobs, video: bytes, speech: bytes
) -> None:
    job = cut.submit(video, speech, **NOBODY)
    seen: list[str] = []
    waiting = threading.Thread(target=lambda: seen.extend(change.state for change in cut.events(job)))
    waiting.start()
    until(lambda: seen == ["queued"])
    with way.away():
        asked = way.connections
        with gateway.worker():
            until(lambda: gateway.change(job.id, lambda now: now).final)
        until(lambda: way.connections > asked + 1, "it is asked again")
    waiting.join(60)
    assert seen == ["queued", "done"]
    assert cut.wait(job).report.frames == 12


def test_a_gateway_that_stays_away_is_told(way: Cutting, cut: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_PATIENCE", 2)
    job = cut.submit("https://example.com/a.mp4", "https://example.com/a.wav")
    changes = cut.events(job)
    assert next(changes).state == "queued"
    with way.away(), pytest.raises(ConnectError):
        next(changes)
    cut.erase(job)


def test_where_events_do_not_come_the_job_is_asked_about(
    gateway: LocalService, cut: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "ASK_SECONDS", 0.05)
    asked: list[str] = []

    async def nothing(session: Any, path: str) -> Any:
        """A stream that something between us and the gateway holds back until it ends."""
        asked.append(path)
        return
        yield

    monkeypatch.setattr(events, "stream", nothing)
    job = cut.submit("https://example.com/a.mp4", "https://example.com/a.wav")
    seen = cut.events(job)
    assert next(seen).state == "queued"
    gateway.change(job.id, lambda now: now.changed(state="making", pieces=2, frames=50, planned=1.0))
    assert next(seen).frames == 50
    cut.cancel(job)
    assert [change.state for change in seen][-1] == "cancelled"
    assert len(asked) == 2
    cut.erase(job)


def test_progress_is_told_as_it_happens(gateway: LocalService, cut: Jobs) -> None:
    job = cut.submit("https://example.com/a.mp4", "https://example.com/a.wav")
    told: list[tuple[int, int]] = []

    def steps() -> None:
        made: list[Callable[[Any], Any]] = [
            lambda now: now.changed(state="making", pieces=2, frames=50, planned=time.time()),
            lambda now: now.with_piece(0, 20, 1.0),
            lambda now: now.with_piece(1, 30, 1.0),
            lambda now: now.ended_as("cancelled", 60),
        ]
        for count, step in enumerate(made):
            until(lambda count=count: len(told) == count)  # type: ignore[misc]
            gateway.change(job.id, step)

    working = threading.Thread(target=steps)
    working.start()
    ended: Job = cut.ended(job, on_progress=lambda *at: told.append(at))
    working.join()
    assert ended.state == "cancelled"
    assert told == [(0, 50), (20, 50), (50, 50), (50, 50)]
    cut.erase(job)


def test_who_waits_for_a_job_that_expires_is_told(gateway: LocalService, cut: Jobs) -> None:
    job = cut.submit("https://example.com/a.mp4", "https://example.com/a.wav")
    changes = cut.events(job)
    assert next(changes).state == "queued"
    gateway.hand.run(lambda broker, store: Journal(broker).erase(LOCAL, job.id))
    with pytest.raises(InputError, match="no such job"):
        list(changes)


def test_a_gateway_proves_who_it_is(gateway: LocalService, tmp_path: Path) -> None:
    pems = certificates.write(tmp_path)
    config = uvicorn.Config(
        gateway.app, port=free_port("127.0.0.1"), lifespan="off", log_config=None,
        ssl_certfile=pems / "server.pem", ssl_keyfile=pems / "server.key",
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        url = f"https://127.0.0.1:{config.port}"
        assert Jobs(url, tls=TLS(ca=pems / "ca.pem")).usage().jobs >= 0
        with pytest.raises(InputError, match="does not prove who it is") as raised:
            Jobs(url).usage()
        assert "--tls-ca" in raised.value.remedy
    finally:
        server.should_exit = True
        thread.join()


def test_a_token_ends_the_waiting_and_not_the_job(cut: Jobs) -> None:
    job = cut.submit("https://example.com/a.mp4", "https://example.com/a.wav")
    token = CancelToken()
    timer = threading.Timer(0.2, token.cancel)
    timer.start()
    with pytest.raises(CancelledError):
        cut.wait(job, cancel=token)
    timer.join()
    assert cut.get(job).state == "queued"
    cut.erase(job)
