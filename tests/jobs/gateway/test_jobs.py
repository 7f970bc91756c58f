"""Jobs over HTTP: sent, listed, waited for, cancelled, tried again, erased."""

from __future__ import annotations

import json
import socket
import threading
import uuid
from typing import Any

import httpx
import pytest

from lipserve.errors import StorageError
from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.records import Fault
from lipserve_jobs.store import Store
from tests.support.gateways import Gateway, Hand
from tests.support.waiting import until

JOB = {"video": "https://example.com/film.mp4", "speech": "https://example.com/speech.wav"}


def _sent(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/jobs", json={**JOB, **fields})
    assert response.status_code == 201, response.text
    return dict(response.json())


def _waiting(hand: Hand, id: str) -> int:
    async def call(broker: Broker, store: Store) -> int:
        info = await broker.js.stream_info(names.WORK, subjects_filter=names.job_filter(id))
        return len(info.state.subjects or {})

    return hand.run(call)


def test_a_job_is_queued_and_told_of(acme: httpx.Client, hand: Hand) -> None:
    response = acme.post("/v1/jobs", json={**JOB, "name": "One", "options": {"strength": 0.5}})
    job = response.json()
    assert (response.status_code, response.headers["location"]) == (201, f"/v1/jobs/{job['id']}")
    assert (job["state"], job["name"], job["tier"]) == ("queued", "One", "lipwarp")
    assert acme.get(job["links"]["self"]).json() == job
    assert _waiting(hand, job["id"]) == 1
    assert hand.objects(f"jobs/acme/{job['id']}/") == [f"jobs/acme/{job['id']}/request.json"]


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        (b"{", 400, "invalid_input", "not JSON"),
        (b"[]", 400, "invalid_input", "no JSON object"),
        (b"[" * 100_000, 400, "invalid_input", "not JSON"),
        (b"{}", 400, "invalid_options", "video"),
        (json.dumps({**JOB, "tier": "best"}).encode(), 400, "invalid_options", "tier"),
        (json.dumps({**JOB, "video": "file:" + "0" * 32}).encode(), 400, "invalid_input", "There is no file"),
        (json.dumps({**JOB, "video": "http://169.254.169.254/x"}).encode(), 400, "fetch_failed", "public"),
        (json.dumps({**JOB, "webhook": "http://[::1]/x"}).encode(), 400, "fetch_failed", "public"),
        (json.dumps({**JOB, "video": "s3://secret/x"}).encode(), 400, "fetch_failed", "bucket"),
        (b" " * (1 << 20) + b"{}", 413, "limit_exceeded", "larger"),
    ],
)
def test_what_cannot_be_taken_is_a_problem(
    acme: httpx.Client, body: bytes, status: int, code: str, words: str
) -> None:
    response = acme.post("/v1/jobs", content=body)
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert words in problem["detail"]
    assert problem["type"] == f"urn:lipserve:problem:{code}"


def test_a_host_that_a_tenant_may_not_use_is_refused(gateway: Gateway) -> None:
    with gateway.client("listed") as client:
        assert client.post("/v1/jobs", json={**JOB, "video": "https://a.example.com/x"}).status_code == 400
        fine = {"video": "https://a.example.com/x", "speech": "https://b.example.com/x"}
        assert client.post("/v1/jobs", json=fine).status_code == 201


def test_s3_addresses_of_listed_buckets_are_taken(acme: httpx.Client) -> None:
    assert _sent(acme, video="s3://films/a.mp4", result="s3://films/out.mp4")["state"] == "queued"


def test_no_tenant_sees_anothers_jobs(acme: httpx.Client, beta: httpx.Client, hand: Hand) -> None:
    id = _sent(acme)["id"]
    hand.finish("acme", id)
    for method, path in [
        ("GET", ""),
        ("DELETE", ""),
        ("DELETE", "?erase=true"),
        ("POST", "/retry"),
        ("GET", "/events"),
        ("GET", "/result"),
        ("GET", "/report"),
        ("GET", "/sheet"),
        ("GET", "/inputs/video"),
    ]:
        response = beta.request(method, f"/v1/jobs/{id}{path}")
        assert (response.status_code, response.json()["code"]) == (404, "not_found"), (method, path)
    assert id not in beta.get("/v1/jobs").text


@pytest.mark.parametrize("id", ["x", "A" * 32, "*", ">", "a.b", "0" * 31, "%2e%2e"])
def test_what_is_no_id_is_not_found(acme: httpx.Client, id: str) -> None:
    assert acme.get(f"/v1/jobs/{id}").status_code == 404


def test_a_list_has_pages_and_filters(gateway: Gateway, hand: Hand) -> None:
    with gateway.client("pages") as nobody:
        assert nobody.get("/v1/jobs").status_code == 401
    with gateway.client("beta") as client:
        before = client.get("/v1/jobs", params={"limit": 1}).json()["counts"]["queued"]
        ids = [_sent(client, name=str(number))["id"] for number in range(5)]
        faces = client.post("/v1/faces", json={"video": JOB["video"]}, headers={"Prefer": "wait=1"}).json()
        first = client.get("/v1/jobs", params={"kind": "dub", "limit": 3}).json()
        assert [job["id"] for job in first["jobs"]] == ids[:1:-1]
        second = client.get("/v1/jobs", params={"kind": "dub", "limit": 2, "after": first["next"]}).json()
        assert [job["id"] for job in second["jobs"]] == ids[1::-1]
        assert client.get("/v1/jobs", params={"kind": "faces"}).json()["jobs"] == [faces]
        assert first["counts"]["queued"] == before + 6
        hand.change("beta", ids[0], state="failed", ended=1.0)
        until(lambda: client.get("/v1/jobs?state=failed,done").json()["jobs"], "the change is listed")
        assert client.get("/v1/jobs?state=failed").json()["jobs"][0]["id"] == ids[0]
        for wrong in ("state=best", "kind=x", "limit=0", "limit=201", "limit=-1", "limit=" + "9" * 40):
            response = client.get(f"/v1/jobs?{wrong}")
            assert (response.status_code, response.json()["code"]) == (400, "invalid_options"), wrong


def test_a_caller_who_waits_is_answered_at_the_end(acme: httpx.Client, hand: Hand) -> None:
    id = _sent(acme)["id"]
    timer = threading.Timer(0.3, hand.finish, ("acme", id))
    timer.start()
    job = acme.get(f"/v1/jobs/{id}", headers={"Prefer": "respond-async, wait=50"}).json()
    timer.join()
    assert (job["state"], job["seconds"], job["size"]) == ("done", 4.0, 4)
    open_still = acme.post("/v1/jobs", json=JOB, headers={"Prefer": "wait=1"})
    assert (open_still.json()["state"], open_still.headers["preference-applied"]) == ("queued", "wait=1")


def test_a_cancelled_job_leaves_the_queue_and_ends_once(acme: httpx.Client, hand: Hand) -> None:
    id = _sent(acme)["id"]
    job = acme.delete(f"/v1/jobs/{id}").json()
    assert (job["state"], job["ended"] is None, job["expires"] is None) == ("cancelled", False, False)
    assert _waiting(hand, id) == 0
    assert acme.delete(f"/v1/jobs/{id}").json() == job


def test_a_job_that_is_done_stays_done(acme: httpx.Client, hand: Hand) -> None:
    id = _sent(acme)["id"]
    hand.finish("acme", id)
    assert acme.delete(f"/v1/jobs/{id}").json()["state"] == "done"
    response = acme.post(f"/v1/jobs/{id}/retry")
    assert (response.status_code, response.json()["code"]) == (409, "conflict")


def test_a_failed_job_is_tried_again_with_the_pieces_it_has(acme: httpx.Client, hand: Hand) -> None:
    id = _sent(acme, webhook="https://example.com/hook")["id"]
    hand.change(
        "acme",
        id,
        state="failed",
        ended=1.0,
        pieces=3,
        made="5",
        told="delivered",
        error=Fault(code="x", message="y"),
    )
    job = acme.post(f"/v1/jobs/{id}/retry").json()
    assert (job["state"], job["error"], job["ended"]) == ("queued", None, None)
    assert (job["progress"]["pieces_made"], job["webhook"]["told"]) == (2, "pending")
    assert _waiting(hand, id) == 1


def test_an_erased_job_leaves_nothing(acme: httpx.Client, hand: Hand) -> None:
    file = acme.post("/v1/files", content=b"film").json()
    id = _sent(acme, video=file["reference"])["id"]
    hand.finish("acme", id)
    response = acme.delete(f"/v1/jobs/{id}", params={"erase": True})
    assert (response.status_code, response.content) == (204, b"")
    assert acme.get(f"/v1/jobs/{id}").status_code == 404
    assert id not in acme.get("/v1/jobs").text
    assert hand.objects(f"jobs/acme/{id}/") == []
    assert hand.objects(f"files/acme/{file['id']}/") == []


def test_a_key_makes_one_job_however_often_it_is_sent(acme: httpx.Client) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = acme.post("/v1/jobs", json=JOB, headers=headers)
    again = acme.post("/v1/jobs", json=dict(reversed(JOB.items())), headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    other = acme.post("/v1/jobs", json={**JOB, "name": "other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


def test_requests_with_one_key_at_once_make_one_job(gateway: Gateway) -> None:
    headers, found = {"Idempotency-Key": uuid.uuid4().hex}, []

    def send() -> None:
        with gateway.client("acme") as client:
            found.append(client.post("/v1/jobs", json=JOB, headers=headers).json()["id"])

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(set(found))) == (8, 1)


def _form(acme: httpx.Client, headers: dict[str, str] | None = None, **request: Any) -> httpx.Response:
    files = {
        "video": ("Film ü.mp4", b"v" * 3_000_000, "video/mp4"),
        "cue-1": ("a.wav", b"a" * 10, "audio/wav"),
        "cue-2": ("b.wav", b"b" * 20, "audio/wav"),
    }
    cues = [{"start": 0, "end": 1}, {"start": 1, "end": 2, "face": "left"}]
    data = {"request": json.dumps({"cues": cues, **request})}
    return acme.post("/v1/jobs", data=data, files=files, headers=headers or {})


def test_a_form_brings_files_and_the_rest(acme: httpx.Client, hand: Hand) -> None:
    response = _form(acme, name="form")
    assert response.status_code == 201, response.text
    id = response.json()["id"]
    video = acme.get(f"/v1/jobs/{id}/inputs/video")
    assert (video.content, video.headers["content-type"]) == (b"v" * 3_000_000, "video/mp4")
    assert acme.get(f"/v1/jobs/{id}/inputs/cue-2").content == b"b" * 20
    assert acme.get(f"/v1/jobs/{id}/inputs/speech").status_code == 404


def test_a_form_with_a_key_is_taken_once(acme: httpx.Client, hand: Hand) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = _form(acme, headers)
    files = hand.objects("files/acme/")
    again = _form(acme, headers)
    assert first.json()["id"] == again.json()["id"]
    assert hand.objects("files/acme/") == files
    assert _form(acme, headers, name="other").status_code == 422
    assert hand.objects("files/acme/") == files


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"video": b"v"}, "no speech"),
        ({"film": b"v"}, "film"),
        ({"video": b"v", "request": b"{"}, "not JSON"),
        ({"video": b"v", "request": b'{"video": "https://example.com/a"}'}, "twice"),
        ({"video": b"v", "speech": b"s", "cue-1": b"c"}, "cues"),
        ({"video": b"v", "cue-2": b"c", "request": b'{"cues": [{}]}'}, "cue-2"),
        ({"video": b"v", "request": b'{"cues": [1]}', "cue-1": b"c"}, "cues"),
    ],
)
def test_a_wrong_form_leaves_no_files(
    acme: httpx.Client, hand: Hand, parts: dict[str, bytes], words: str
) -> None:
    before = hand.objects("files/acme/")
    response = acme.post("/v1/jobs", files={name: (name, data) for name, data in parts.items()})
    assert response.status_code == 400
    assert words in response.json()["detail"]
    assert hand.objects("files/acme/") == before


@pytest.mark.parametrize(
    "body", [b"", b"--x\r\n", b"nonsense", b"--x\r\nContent-Disposition: form-data; name=video\r\n\r\nv"]
)
def test_a_damaged_form_is_refused(acme: httpx.Client, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = acme.post("/v1/jobs", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_input")


def test_a_form_that_is_cut_off_leaves_no_files(gateway: Gateway, hand: Hand, acme: httpx.Client) -> None:
    before = hand.objects("files/acme/")
    with socket.create_connection(("127.0.0.1", gateway.settings.port)) as wire:
        head = (
            "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-acme\r\n"
            "Content-Length: 90000000\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"
            '--x\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\n'
        )
        wire.sendall(head.encode() + bytes(20_000_000))
    until(lambda: "lipserve_jobs_uploads_open 0.0" in acme.get("/metrics").text, "the upload ends")
    assert hand.objects("files/acme/") == before


def test_short_forms_make_jobs_of_their_kind(acme: httpx.Client) -> None:
    headers = {"Prefer": "wait=1"}
    for kind in ("faces", "check", "estimate"):
        job = acme.post(f"/v1/{kind}", json=JOB, headers=headers).json()
        assert (job["kind"], job["state"]) == (kind, "queued")


def test_forms_with_one_key_at_once_keep_the_files_of_the_job(gateway: Gateway, hand: Hand) -> None:
    headers, found = {"Idempotency-Key": uuid.uuid4().hex}, []

    def send() -> None:
        with gateway.client("acme") as client:
            found.append(_form(client, headers).json()["id"])

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (id,) = set(found)
    with gateway.client("acme") as client:
        for name in ("video", "cue-1", "cue-2"):
            assert client.get(f"/v1/jobs/{id}/inputs/{name}").status_code == 200


def test_a_job_whose_request_cannot_be_kept_is_none(
    acme: httpx.Client, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(store: Store, key: str, content: bytes) -> None:
        raise StorageError("The disk is full.", "Make room.")

    before = acme.get("/v1/jobs").json()["counts"]
    monkeypatch.setattr(Store, "write", full)
    response = acme.post("/v1/jobs", json=JOB)
    assert (response.status_code, response.json()["code"]) == (503, "storage_full")
    assert int(response.headers["retry-after"]) > 0
    assert acme.get("/v1/jobs").json()["counts"] == before


def test_a_job_of_a_tier_that_no_server_has_is_refused(
    acme: httpx.Client, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipserve_jobs.gateway.offer.FRESH_SECONDS", 0.0)
    assert acme.get("/v1/me").json()["tiers"] is None
    early = _sent(acme, tier="latentsync")  # nobody has told: it may come
    with hand.tiers("wav2lip", "lipwarp"):
        assert acme.get("/v1/me").json()["tiers"] == ["lipwarp", "wav2lip"]
        for kind in ("dub", "estimate"):
            refused = acme.post("/v1/jobs", json={**JOB, "tier": "latentsync", "kind": kind})
            assert (refused.status_code, refused.json()["code"]) == (404, "model_not_found")
            assert "lipwarp, wav2lip" in refused.json()["remedy"]
        rows = "\n".join(json.dumps({**JOB, "tier": tier}) for tier in ("wav2lip", "latentsync"))
        refused = acme.post("/v1/batches", content=rows, headers={"Content-Type": "application/jsonl"})
        assert (refused.json()["code"], refused.json()["detail"][:6]) == ("model_not_found", "Row 2:")
        acme.delete(f"/v1/jobs/{early['id']}")
        assert acme.post(f"/v1/jobs/{early['id']}/retry").json()["code"] == "model_not_found"
        _sent(acme, tier="wav2lip")
        _sent(acme, kind="check", tier="latentsync")  # which measures, whatever the tier
    assert acme.post(f"/v1/jobs/{early['id']}/retry").json()["state"] == "queued"
