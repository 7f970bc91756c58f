"""What was made: whole, in ranges, and never as a page."""

from __future__ import annotations

import threading

import httpx
import pytest

from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.store import Keys, Store
from tests.support.gateways import Hand

JOB = {"video": "https://example.com/film.mp4", "speech": "https://example.com/speech.wav"}
FILM = bytes(range(256)) * 20_000


@pytest.fixture(scope="module")
def done(gateway, hand: Hand) -> str:  # type: ignore[no-untyped-def]
    """The id of a job that is done."""
    with gateway.client("acme") as client:
        id = str(client.post("/v1/jobs", json={**JOB, "name": "Mein Film: ü/..\\x.mov"}).json()["id"])
    hand.finish("acme", id, FILM)
    return id


def test_a_result_comes_whole(acme: httpx.Client, done: str) -> None:
    response = acme.get(f"/v1/jobs/{done}/result")
    assert (response.status_code, response.content == FILM) == (200, True)
    assert response.headers["content-type"] == "video/mp4"
    assert response.headers["accept-ranges"] == "bytes"
    assert "content-disposition" not in response.headers
    head = acme.head(f"/v1/jobs/{done}/result")
    assert (head.headers["content-length"], head.headers["etag"]) == (
        str(len(FILM)),
        response.headers["etag"],
    )
    assert head.content == b""


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=5119990-", 5_119_990, len(FILM)),
        ("bytes=-10", len(FILM) - 10, len(FILM)),
        ("bytes=5000000-99999999", 5_000_000, len(FILM)),
        ("bytes=-99999999", 0, len(FILM)),
        ("bytes=1000000-3500000", 1_000_000, 3_500_001),
    ],
)
def test_a_range_comes_alone(acme: httpx.Client, done: str, header: str, start: int, end: int) -> None:
    response = acme.get(f"/v1/jobs/{done}/result", headers={"Range": header})
    assert response.status_code == 206
    assert response.content == FILM[start:end]
    assert response.headers["content-range"] == f"bytes {start}-{end - 1}/{len(FILM)}"
    assert response.headers["content-length"] == str(end - start)


@pytest.mark.parametrize(
    "header", ["bytes=5-1", "bytes=a-b", "bytes=-", "lines=0-1", "bytes=0-1,3-4", "bytes="]
)
def test_what_is_no_single_range_gives_all(acme: httpx.Client, done: str, header: str) -> None:
    response = acme.get(f"/v1/jobs/{done}/result", headers={"Range": header})
    assert (response.status_code, len(response.content)) == (200, len(FILM))


@pytest.mark.parametrize("header", [f"bytes={len(FILM)}-", "bytes=999999999999999999-", "bytes=-0"])
def test_a_range_outside_is_refused(acme: httpx.Client, done: str, header: str) -> None:
    response = acme.get(f"/v1/jobs/{done}/result", headers={"Range": header})
    assert (response.status_code, response.headers["content-range"]) == (416, f"bytes */{len(FILM)}")


def test_a_tag_spares_what_is_known(acme: httpx.Client, done: str) -> None:
    tag = acme.head(f"/v1/jobs/{done}/result").headers["etag"]
    known = acme.get(f"/v1/jobs/{done}/result", headers={"If-None-Match": f'"x", {tag}'})
    assert (known.status_code, known.content) == (304, b"")
    changed = {"Range": "bytes=0-9", "If-Range": '"other"'}
    assert acme.get(f"/v1/jobs/{done}/result", headers=changed).status_code == 200
    same = {"Range": "bytes=0-9", "If-Range": tag}
    assert acme.get(f"/v1/jobs/{done}/result", headers=same).status_code == 206


def test_a_download_has_the_jobs_name_and_nothing_that_breaks_out(acme: httpx.Client, done: str) -> None:
    header = acme.head(f"/v1/jobs/{done}/result?download=1").headers["content-disposition"]
    assert header.startswith("attachment; filename=")
    assert header.endswith(".mp4")
    assert "/" not in header
    assert "\\" not in header


def test_a_report_is_json(acme: httpx.Client, done: str) -> None:
    assert acme.get(f"/v1/jobs/{done}/report").json() == {"report": {"frames": 100}}


def test_a_job_that_is_not_done_has_no_result(acme: httpx.Client) -> None:
    id = acme.post("/v1/jobs", json=JOB).json()["id"]
    for path in ("result", "report", "sheet"):
        response = acme.get(f"/v1/jobs/{id}/{path}")
        assert (response.status_code, response.json()["code"]) == (409, "not_ready")
        assert response.json()["state"] == "queued"


def test_a_sheet_is_drawn_when_it_is_asked_for(acme: httpx.Client, done: str, hand: Hand) -> None:
    async def draw(broker: Broker, store: Store) -> int:
        info = await broker.js.stream_info(names.WORK, subjects_filter=f"lipserve.work.*.*.{done}.sheet")
        await store.write(Keys("acme", done).sheet, b"\x89PNG drawn")
        return len(info.state.subjects or {})

    found: list[int] = []
    timer = threading.Timer(0.5, lambda: found.append(hand.run(draw)))
    timer.start()
    response = acme.get(f"/v1/jobs/{done}/sheet")
    timer.join()
    assert (response.content, response.headers["content-type"]) == (b"\x89PNG drawn", "image/png")
    assert found == [1]


def test_what_callers_sent_is_never_a_page(acme: httpx.Client) -> None:
    page = b"<script>alert(1)</script>"
    for media in ("text/html", "image/svg+xml", "video/mp4\r\nX: y", "application/javascript", ""):
        headers = {"Content-Type": media} if media and "\r" not in media else {}
        file = acme.post("/v1/files", content=page, headers=headers).json()
        id = acme.post("/v1/jobs", json={**JOB, "video": file["reference"]}).json()["id"]
        response = acme.get(f"/v1/jobs/{id}/inputs/video")
        assert response.headers["content-type"] == "application/octet-stream"
        assert "sandbox" in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"


def test_a_range_of_a_sent_file_crosses_its_parts(acme: httpx.Client, hand: Hand) -> None:
    file = acme.post("/v1/files", content=FILM * 4, headers={"Content-Type": "video/mp4"}).json()
    assert len(hand.objects(f"files/acme/{file['id']}/")) > 2
    id = acme.post("/v1/jobs", json={**JOB, "video": file["reference"]}).json()["id"]
    headers = {"Range": "bytes=8388000-16777300"}
    response = acme.get(f"/v1/jobs/{id}/inputs/video", headers=headers)
    assert response.content == (FILM * 4)[8_388_000:16_777_301]
    assert response.headers["content-type"] == "video/mp4"


def test_a_file_that_was_not_fetched_yet_is_not_ready(acme: httpx.Client, done: str) -> None:
    assert acme.get(f"/v1/jobs/{done}/inputs/video").status_code == 409
