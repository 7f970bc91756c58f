"""What a tenant may use."""

from __future__ import annotations

import httpx

from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.queue.usage import Ledger
from lipserve_jobs.records import Job, JobRequest
from lipserve_jobs.store import Store
from tests.support.gateways import Gateway, Hand
from tests.support.waiting import until

JOB = {"video": "https://example.com/film.mp4", "speech": "https://example.com/speech.wav"}


def _refused(response: httpx.Response) -> bool:
    return (response.status_code, response.json()["code"]) == (429, "quota_exceeded")


def test_jobs_that_have_not_ended_are_bounded(gateway: Gateway) -> None:
    with gateway.client("small") as client:
        ids = [client.post("/v1/jobs", json=JOB).json()["id"] for _ in range(2)]
        response = client.post("/v1/jobs", json=JOB)
        assert _refused(response)
        assert int(response.headers["retry-after"]) > 0
        assert _refused(client.post("/v1/jobs", files={"video": b"v", "speech": b"s"}))
        client.delete(f"/v1/jobs/{ids[0]}")
        ids.append(client.post("/v1/jobs", json=JOB).json()["id"])
        assert _refused(client.post(f"/v1/jobs/{ids[0]}/retry"))
        for id in ids:
            client.delete(f"/v1/jobs/{id}", params={"erase": True})


def test_a_key_that_was_used_is_answered_though_the_quota_is_used_up(gateway: Gateway) -> None:
    with gateway.client("small") as client:
        headers = {"Idempotency-Key": "quota"}
        ids = {client.post("/v1/jobs", json=JOB, headers=headers).json()["id"] for _ in range(4)}
        assert len(ids) == 1
        client.delete(f"/v1/jobs/{ids.pop()}", params={"erase": True})


def test_bytes_that_are_kept_are_bounded(gateway: Gateway) -> None:
    with gateway.client("small") as client:
        files = [client.post("/v1/files", content=bytes(990_000)) for _ in range(3)]
        assert [file.status_code for file in files] == [201, 201, 201]
        assert _refused(client.post("/v1/files", content=bytes(100_000)))
        tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "100000"}
        assert _refused(client.post("/v1/files", headers=tus))
        assert client.get("/v1/usage").json()["bytes_kept"] > 2_900_000


def test_a_file_is_bounded(gateway: Gateway) -> None:
    with gateway.client("small") as client:
        for response in (
            client.post("/v1/files", content=bytes(1_000_001)),
            client.post("/v1/files", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "1000001"}),
            client.post("/v1/jobs", files={"video": bytes(1_000_001), "speech": b"s"}),
        ):
            assert (response.status_code, response.json()["code"]) == (413, "limit_exceeded")


def test_seconds_of_a_month_are_bounded_and_told(gateway: Gateway, hand: Hand) -> None:
    async def use(broker: Broker, store: Store) -> None:
        job = Job.new(JobRequest.of(JOB), "spent").changed(seconds=10.5, work_seconds=36.0)
        await Ledger(broker).add(job)

    with gateway.client("spent") as client:
        assert client.post("/v1/jobs", json=JOB).status_code == 201
        hand.run(use)
        response = client.post("/v1/jobs", json=JOB)
        assert _refused(response)
        assert 0 < int(response.headers["retry-after"]) <= 31 * 86_400
        used = client.get("/v1/usage").json()
        assert (used["seconds"], used["jobs"], used["quota"]["seconds"]) == (10.5, 1, 10.0)
        assert used["jobs_unfinished"] == 1


def test_work_has_its_tenants_price(acme: httpx.Client, hand: Hand) -> None:
    id = acme.post("/v1/jobs", json=JOB).json()["id"]
    hand.finish("acme", id, work_seconds=500.0)
    until(lambda: acme.get(f"/v1/jobs/{id}").json()["cost"] == 0.5, "the price is told")
