"""What machines ask, what browsers are told, and what the interface says of itself."""

from __future__ import annotations

import json
import logging

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lipserve_jobs.gateway.metrics import Meters
from lipserve_jobs.gateway.observation import Observed
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.names import PLAN
from lipserve_jobs.records import Fault, Job, JobRequest
from lipserve_jobs.store import Store
from tests.support.gateways import Gateway, Hand
from tests.support.waiting import until

JOB = {"video": "https://example.com/film.mp4", "speech": "https://example.com/speech.wav"}
GAUGES = [
    "lipserve_jobs_ready",
    "lipserve_jobs_draining",
    "lipserve_jobs_nats_connected",
    "lipserve_jobs_nats_storage_bytes",
    "lipserve_jobs_joining_oldest_seconds",
    "lipserve_jobs_unfinished_oldest_seconds",
    "lipserve_jobs_webhooks_pending",
    "lipserve_jobs_dead_letters",
    "lipserve_jobs_dead_letters_total",
    "lipserve_jobs_overdue",
    "lipserve_jobs_uploads_open",
    "lipserve_jobs_event_streams",
]


def _metrics(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_have_every_series_from_the_start(gateway: Gateway) -> None:
    with gateway.client() as client:
        found = _metrics(client.get("/metrics").text)
    assert [name for name in GAUGES if (name,) not in found] == []
    for state in ("queued", "preparing", "making", "joining", "done", "failed", "cancelled"):
        assert ("lipserve_jobs", state, "acme") in found
    for state in ("waiting", "running"):
        assert ("lipserve_jobs_queue_steps", state, "acme") in found
        assert found["lipserve_jobs_queue_steps", state, ""] == 0
    for name in (
        "oldest_queued_seconds",
        "tenant_seconds_total",
        "tenant_work_seconds_total",
        "tenant_cost_total",
    ):
        assert (f"lipserve_jobs_{name}", "acme") in found
    assert ("lipserve_jobs_tenant_cost_total", "beta") not in found  # it has no price


def test_metrics_tell_of_the_queue_and_the_records(
    gateway: Gateway, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipserve_jobs.gateway.observation.FRESH_SECONDS", 0.1)

    async def prepare(broker: Broker, store: Store) -> None:
        ends, request = Ends(broker), JobRequest.of({**JOB, "webhook": "https://example.com"})
        job = Job.new(request, "beta").ended_as("done", -10)
        await ends.tell(job)
        await ends.bury(job, PLAN, Fault(code="internal", message="x"), 3)

    with gateway.client("beta") as client:
        ids = [client.post("/v1/jobs", json=JOB).json()["id"] for _ in range(4)]
        hand.run(prepare)
        hand.change("beta", ids[0], state="joining")
        hand.change("beta", ids[1], state="done", ended=1.0, expires=2.0)

        def told() -> bool:
            found = _metrics(client.get("/metrics").text)
            return (
                found["lipserve_jobs", "queued", "beta"] == 2
                and found["lipserve_jobs", "joining", "beta"] == 1
                and found["lipserve_jobs_queue_steps", "waiting", "beta"] == 4
                and found["lipserve_jobs_webhooks_pending",] == 1
                and found["lipserve_jobs_dead_letters",] == found["lipserve_jobs_dead_letters_total",] == 1
                and found["lipserve_jobs_overdue",] == 1
                and found["lipserve_jobs_oldest_queued_seconds", "beta"] > 0
                and found["lipserve_jobs_joining_oldest_seconds",] > 0
                and found["lipserve_jobs_requests_total", "/v1/jobs", "201"] >= 4
            )

        until(told, lambda: client.get("/metrics").text)


def test_many_tenants_are_few_series() -> None:
    states = {(f"tenant-{number}", "queued"): 1.0 for number in range(500)}
    text = Meters().page(Observed(states=states)).decode()
    found = {key: value for key, value in _metrics(text).items() if key[0] == "lipserve_jobs"}
    assert (len(found), found["lipserve_jobs", "queued", "(others)"]) == (101, 400)


def test_a_gateway_is_alive_and_ready(gateway: Gateway) -> None:
    with gateway.client() as client:
        assert client.get("/healthz").text == "ok\n"
        assert client.get("/readyz").text == "ready\n"


def test_browsers_are_told_to_be_careful(gateway: Gateway) -> None:
    with gateway.client() as client:
        for path in ("/v1/me", "/healthz", "/nothing", "/"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"


def test_nothing_outside_of_the_page_is_given(gateway: Gateway) -> None:
    with gateway.client() as client:
        for path in ("/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "/js/../../app.py", "//etc/passwd"):
            response = client.get(path)
            assert (response.status_code, "create_app" in response.text) == (404, False)
            assert response.headers["content-type"] == "application/problem+json"
        assert client.post("/").status_code == 405


def test_the_interface_describes_itself(gateway: Gateway, recwarn: pytest.WarningsRecorder) -> None:
    with gateway.client() as client:
        found = client.get("/openapi.json").json()
    assert found["openapi"].startswith("3.1")
    text = json.dumps(found)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in found["components"]["schemas"], name
    assert set(found["paths"]["/v1/jobs"]) == {"post", "get"}
    assert "JobRequest" in found["components"]["schemas"]
    assert not [warning for warning in recwarn if "Duplicate" in str(warning.message)]


def test_what_changes_something_is_in_the_audit_log(
    acme: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "lipserve.audit"):
        id = acme.post("/v1/jobs", json={**JOB, "name": "secret name"}).json()["id"]
        acme.get(f"/v1/jobs/{id}")
        acme.delete(f"/v1/jobs/{id}")
        acme.post(f"/v1/jobs/{id}/retry")
        acme.delete(f"/v1/jobs/{id}", params={"erase": True})
        acme.post("/v1/files", content=b"film")
    lines = [json.loads(record.message) for record in caplog.records if record.name == "lipserve.audit"]
    assert [line["action"] for line in lines] == [
        "job.create",
        "job.cancel",
        "job.retry",
        "job.erase",
        "file.create",
    ]
    assert {line["tenant"] for line in lines} == {"acme"}
    assert (lines[0]["subject"], lines[0]["address"], lines[0]["status"]) == (id, "127.0.0.1", 201)
    assert (len(lines[0]["digest"]), "key-acme" in caplog.text, "secret name" in caplog.text) == (
        64,
        False,
        False,
    )
