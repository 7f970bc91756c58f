"""Lists of jobs."""

from __future__ import annotations

import asyncio
import json
import threading

import httpx
import pytest

from lipserve.errors import InputError
from lipserve_jobs.gateway.rows import requests_of
from lipserve_jobs.queue import names
from lipserve_jobs.queue.batches import Batches
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records import Job, JobRequest, Tenant
from lipserve_jobs.records.batch import row_id
from lipserve_jobs.store import Store
from tests.support.gateways import Gateway, Hand
from tests.support.waiting import until

A, B = "https://example.com/a.mp4", "https://example.com/b.wav"
CSV = {"Content-Type": "text/csv; charset=utf-8"}
JSONL = {"Content-Type": "application/jsonl"}


def test_cells_are_fields_options_and_metadata() -> None:
    text = (
        "\ufeffvideo,speech,name,options.strength,options.face,metadata.order,cues,background_lufs,background\n"
        f'{A},{B},"One, two",0.5,largest,007,,,\n'
        "\n"
        f'{A},,Three,,,,"[{{""start"": 0, ""end"": 1, ""speech"": ""{B}""}}]",-20,video\n'
    )
    first, second = requests_of(text.encode(), True)
    assert (first.name, first.options, first.metadata) == (
        "One, two",
        {"strength": 0.5, "face": "largest"},
        {"order": "007"},
    )
    assert second.cues is not None
    assert (second.cues[0].speech, second.background_lufs, second.options) == (B, -20, {})


@pytest.mark.parametrize(
    ("text", "is_csv", "words"),
    [
        (f"video,speech\n{A},{B}\n{A},nonsense\n", True, "Line 3: .*speech"),
        (f"video,speech\n{A},{B},{B}\n", True, "Line 2 has 3 cells"),
        (f"video,video\n{A},{B}\n", True, "Line 1: a column comes twice"),
        (f"video,speech,unknown\n{A},{B},1\n", True, "Line 2: .*unknown"),
        (f'video,speech\n"{A},{B}\n', True, "Line 2 is not CSV"),
        (f"video,speech,cues\n{A},{B},[\n", True, "Line 2: cues is not JSON"),
        ("video,speech\n", True, "no rows"),
        ("", True, "no rows"),
        (f'{{"video": "{A}", "speech": "{B}"}}\n\n{{"video": "{A}"}}\n', False, "Line 3: .*no speech"),
        ("{", False, "Line 1 is not JSON"),
        ("[1]", False, "Line 1: "),
        ("\n\n", False, "no rows"),
    ],
)
def test_a_wrong_row_is_told_with_its_line(text: str, is_csv: bool, words: str) -> None:
    with pytest.raises(InputError, match=words):
        requests_of(text.encode(), is_csv)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InputError, match="UTF-8"):
        requests_of(b"video\n\xff\xfe", True)


def test_ten_thousand_rows_are_taken_and_one_more_is_not() -> None:
    line = json.dumps({"video": A, "speech": B})
    assert len(requests_of("\n".join([line] * 10_000).encode(), False)) == 10_000
    with pytest.raises(InputError, match="more than 10000"):
        requests_of("\n".join([line] * 10_001).encode(), False)


def test_a_list_waits_to_be_made_into_jobs(beta: httpx.Client, hand: Hand) -> None:
    response = beta.post(
        "/v1/batches?name=films", content=f"video,speech,name\n{A},{B},x\n{A},{B},y\n", headers=CSV
    )
    batch = response.json()
    assert (response.status_code, response.headers["location"]) == (201, f"/v1/batches/{batch['id']}")
    assert (batch["rows"], batch["waiting"], batch["name"], batch["state"]) == (2, 2, "films", "open")
    assert beta.get(f"/v1/batches/{batch['id']}").json() == batch

    async def look(broker: Broker, store: Store) -> tuple[int, bytes | None]:
        info = await broker.js.stream_info(
            names.WORK, subjects_filter=f"lipserve.work.beta.2.{batch['id']}.expand"
        )
        return len(info.state.subjects or {}), await store.read(f"batches/beta/{batch['id']}/rows.jsonl")

    steps, rows = hand.run(look)
    assert steps == 1
    assert [JobRequest.model_validate_json(row).name for row in (rows or b"").splitlines()] == ["x", "y"]


def _job(hand: Hand, batch: str, number: int, **fields: object) -> None:
    async def create(broker: Broker, store: Store) -> None:
        job = Job.new(JobRequest(video=A, speech=B), "beta", batch, row_id(batch, number))
        await Journal(broker).create(job.changed(**fields))

    hand.run(create)


def test_a_batch_counts_its_jobs_and_is_cancelled_with_them(beta: httpx.Client, hand: Hand) -> None:
    rows = "\n".join([json.dumps({"video": A, "speech": B})] * 5)
    id = beta.post("/v1/batches", content=rows, headers=JSONL).json()["id"]
    for number, state in enumerate(("queued", "making", "done")):
        _job(hand, id, number, state=state)
    until(lambda: beta.get(f"/v1/batches/{id}").json()["waiting"] == 2, "the jobs are counted")
    counts = beta.get(f"/v1/batches/{id}").json()["counts"]
    assert (counts["queued"], counts["making"], counts["done"], counts["failed"]) == (1, 1, 1, 0)
    assert len(beta.get("/v1/jobs", params={"batch": id}).json()["jobs"]) == 3
    timer = threading.Timer(0.1, _job, (hand, id, 9))  # one that a worker still makes
    timer.start()
    until(lambda: beta.delete(f"/v1/batches/{id}").json()["counts"]["cancelled"] == 3, "all are cancelled")
    timer.join()
    batch = beta.get(f"/v1/batches/{id}").json()
    assert (batch["state"], batch["waiting"], batch["counts"]["done"]) == ("cancelled", 0, 1)


def test_a_list_with_one_wrong_row_makes_nothing(beta: httpx.Client, hand: Hand) -> None:
    before = hand.objects("batches/beta/")
    text = f"video,speech\n{A},{B}\n{A},http://10.0.0.1/x\n"
    response = beta.post("/v1/batches", content=text, headers=CSV)
    assert (response.status_code, response.json()["detail"][:6]) == (400, "Row 2:")
    assert hand.objects("batches/beta/") == before


def test_a_list_of_another_type_or_above_the_quota_is_refused(gateway: Gateway, beta: httpx.Client) -> None:
    assert beta.post("/v1/batches", content="x", headers={"Content-Type": "text/plain"}).status_code == 415
    with gateway.client("small") as client:
        rows = "\n".join([json.dumps({"video": A, "speech": B})] * 3)
        response = client.post("/v1/batches", content=rows, headers=JSONL)
        assert (response.status_code, response.json()["code"]) == (429, "quota_exceeded")


def test_a_list_with_a_key_is_taken_once(beta: httpx.Client) -> None:
    headers, text = {**CSV, "Idempotency-Key": "list"}, f"video,speech\n{A},{B}\n"
    first = beta.post("/v1/batches", content=text, headers=headers)
    again = beta.post("/v1/batches", content=text, headers=headers)
    assert first.json()["id"] == again.json()["id"]
    other = beta.post("/v1/batches", content=f"{text}{A},{B}\n", headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


def test_a_row_whose_job_is_erased_is_not_waited_for(beta: httpx.Client, hand: Hand) -> None:
    id = beta.post("/v1/batches", content=f"video,speech\n{A},{B}\n{A},{B}\n", headers=CSV).json()["id"]
    _job(hand, id, 1)
    until(lambda: beta.get(f"/v1/batches/{id}").json()["waiting"] == 1, "the job is counted")
    assert beta.delete(f"/v1/jobs/{row_id(id, 1)}", params={"erase": True}).status_code == 204
    batch = beta.get(f"/v1/batches/{id}").json()
    assert (batch["rows"], batch["waiting"], sum(batch["counts"].values())) == (2, 1, 0)
    known = hand.run(lambda broker, store: Batches(broker).get("beta", id))
    assert known is not None
    assert (known.has_erased(1), known.has_erased(2), known.gone) == (True, False, 1)


def test_a_batch_is_erased_with_its_jobs_and_files(beta: httpx.Client, hand: Hand) -> None:
    before = hand.objects("")
    shared, mine, waiting = (beta.post("/v1/files", content=text).json()["reference"] for text in "abc")
    other = beta.post("/v1/jobs", json={"video": shared, "speech": B}).json()["id"]
    text = f"video,speech\n{shared},{mine}\n{shared},{B}\n{shared},{waiting}\n"
    id = beta.post("/v1/batches", content=text, headers=CSV).json()["id"]
    _job(hand, id, 1, files=(shared.removeprefix("file:"), mine.removeprefix("file:")))
    _job(hand, id, 2, state="done")
    until(lambda: beta.get(f"/v1/batches/{id}").json()["waiting"] == 1, "the jobs are counted")
    assert beta.delete(f"/v1/batches/{id}", params={"erase": True}).status_code == 204
    assert beta.get(f"/v1/batches/{id}").status_code == 404
    assert beta.delete(f"/v1/batches/{id}", params={"erase": True}).status_code == 404
    assert beta.get("/v1/jobs", params={"batch": id}).json()["jobs"] == []
    assert beta.get(f"/v1/jobs/{row_id(id, 2)}").status_code == 404
    left = [key for key in hand.objects("") if key not in before]
    assert {key.split("/")[2] for key in left} == {other, shared.removeprefix("file:")}
    assert beta.delete(f"/v1/jobs/{other}", params={"erase": True}).status_code == 204
    assert hand.objects("") == before


def test_a_list_whose_files_are_sent_again_is_the_same_list(beta: httpx.Client) -> None:
    ids = []
    for content in (b"one", b"one", b"other"):
        film = beta.post("/v1/files", content=content).json()["reference"]
        headers = {**CSV, "Idempotency-Key": "list of files"}
        ids.append(beta.post("/v1/batches", content=f"video,speech\n{film},{B}\n", headers=headers).json())
    assert ids[0]["id"] == ids[1]["id"]
    assert ids[2]["code"] == "key_reused"


def test_a_list_that_was_taken_and_not_queued_is_queued_when_it_is_sent_again(
    beta: httpx.Client, hand: Hand
) -> None:
    headers, text = {**CSV, "Idempotency-Key": "a list that was lost"}, f"video,speech\n{A},{B}\n"
    id = beta.post("/v1/batches", content=text, headers=headers).json()["id"]

    async def lost(broker: Broker, store: Store) -> None:
        await broker.js.purge_stream(names.WORK, subject=names.job_filter(id))
        config = (await broker.js.stream_info(names.WORK)).config
        await broker.js.update_stream(config, duplicate_window=0.1)  # as if minutes had passed
        await asyncio.sleep(0.2)

    async def steps(broker: Broker, store: Store) -> set[names.Step]:
        return await Work(broker, lambda name: Tenant(name=name)).waiting_for(id)

    hand.run(lost)
    assert beta.post("/v1/batches", content=text, headers=headers).json()["id"] == id
    assert hand.run(steps) == {names.EXPAND}


def test_a_batch_is_its_tenants_alone(acme: httpx.Client, beta: httpx.Client) -> None:
    id = beta.post("/v1/batches", content=f"video,speech\n{A},{B}\n", headers=CSV).json()["id"]
    assert acme.get(f"/v1/batches/{id}").status_code == 404
    assert acme.delete(f"/v1/batches/{id}").status_code == 404
    assert beta.get("/v1/batches/x").status_code == 404
