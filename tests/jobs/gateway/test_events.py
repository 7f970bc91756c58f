"""Server-sent events."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lipserve_jobs.gateway.routes import events
from tests.support.gateways import Gateway, Hand
from tests.support.waiting import until

JOB = {"video": "https://example.com/film.mp4", "speech": "https://example.com/speech.wav"}


def _events(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    kind = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            text = line.removeprefix("data: ")
            yield kind, json.loads(text) if text.startswith("{") else text


def test_a_stream_tells_every_change_and_ends_with_the_job(acme: httpx.Client, hand: Hand) -> None:
    id = acme.post("/v1/jobs", json=JOB).json()["id"]
    with acme.stream("GET", f"/v1/jobs/{id}/events", headers={"Last-Event-ID": "nonsense"}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        coming = _events(response)
        assert next(coming)[1]["state"] == "queued"
        hand.change("acme", id, state="making", pieces=2, frames=100)
        assert next(coming)[1]["progress"]["pieces"] == 2
        hand.finish("acme", id)
        assert [job["state"] for _, job in coming] == ["done"]
    with acme.stream("GET", f"/v1/jobs/{id}/events") as response:
        assert [job["state"] for _, job in _events(response)] == ["done"]


def test_a_stream_of_all_jobs_tells_of_the_tenants_own(
    acme: httpx.Client, beta: httpx.Client, hand: Hand
) -> None:
    with acme.stream("GET", "/v1/events") as response:
        coming = response.iter_lines()
        assert next(coming).startswith("retry: ")
        beta.post("/v1/jobs", json=JOB)
        id = acme.post("/v1/jobs", json=JOB).json()["id"]
        acme.delete(f"/v1/jobs/{id}", params={"erase": True})
        told = []
        for line in coming:
            if line.startswith("data: "):
                told.append(line.removeprefix("data: "))
                if told[-1] == id:
                    break
    assert all(json.loads(text)["id"] == id for text in told[:-1])
    assert len(told) >= 2


def test_a_silent_stream_is_kept_alive(acme: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.05)
    with acme.stream("GET", "/v1/events") as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(3)][2] == ": still here"


def test_streams_are_counted_and_end_with_their_readers(gateway: Gateway) -> None:
    def counted(number: int) -> bool:
        with gateway.client() as client:
            return f"lipserve_jobs_event_streams {number}.0" in client.get("/metrics").text

    ready, leave = threading.Barrier(4), threading.Event()

    def read() -> None:
        with gateway.client("acme") as client, client.stream("GET", "/v1/events"):
            ready.wait()
            leave.wait()

    until(lambda: counted(0), "no stream is open")
    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    ready.wait()
    until(lambda: counted(3), "three streams are open")
    leave.set()
    for thread in threads:
        thread.join()
    until(lambda: counted(0), "they are closed")
