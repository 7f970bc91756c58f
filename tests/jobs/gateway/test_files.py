"""Files that are sent at once, and by tus in pieces."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import threading
from typing import Any

import httpx
import pytest

from tests.support.gateways import Gateway, Hand
from tests.support.waiting import until

TUS = {"Tus-Resumable": "1.0.0"}
PATCH = {**TUS, "Content-Type": "application/offset+octet-stream"}
JOB = {"video": "https://example.com/film.mp4", "speech": "https://example.com/speech.wav"}


def _begin(client: httpx.Client, length: int, **headers: str) -> str:
    response = client.post("/v1/files", headers={**TUS, "Upload-Length": str(length), **headers})
    assert response.status_code == 201, response.text
    return str(response.headers["location"])


def _offset(client: httpx.Client, path: str) -> int:
    response = client.head(path, headers=TUS)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    return int(response.headers["upload-offset"])


def _content(client: httpx.Client, path: str) -> bytes:
    reference = f"file:{path.rpartition('/')[2]}"
    response = client.post("/v1/jobs", json={**JOB, "video": reference})
    assert response.status_code == 201, response.text
    return client.get(f"/v1/jobs/{response.json()['id']}/inputs/video").content


def _head(method: str, path: str, length: int, *more: str) -> bytes:
    fixed = (f"{method} {path} HTTP/1.1", "Host: x", "Authorization: Bearer key-acme")
    return "\r\n".join((*fixed, f"Content-Length: {length}", *more, "", "")).encode()


def test_a_file_is_sent_at_once(acme: httpx.Client) -> None:
    data = os.urandom(1_000_000)
    response = acme.post("/v1/files?name=../Film.mp4", content=data, headers={"Content-Type": "video/mp4"})
    file = response.json()
    assert (response.status_code, response.headers["location"]) == (201, f"/v1/files/{file['id']}")
    assert (file["length"], file["name"], file["reference"]) == (1_000_000, "Film.mp4", f"file:{file['id']}")
    assert _content(acme, response.headers["location"]) == data


def test_a_file_without_a_length_is_bounded_as_it_comes(gateway: Gateway, hand: Hand) -> None:
    def endless():  # type: ignore[no-untyped-def]
        for _ in range(100):
            yield bytes(100_000)

    with gateway.client("small") as client:
        response = client.post("/v1/files", content=endless())
        assert (response.status_code, response.json()["code"]) == (413, "limit_exceeded")
    assert hand.objects("files/small/") == []


def test_ten_gigabytes_are_refused_before_they_come(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.settings.port)) as wire:
        wire.sendall(_head("POST", "/v1/files", 10 << 30))
        assert wire.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_more_uploads_than_memory_bears_are_put_off(
    gateway: Gateway, acme: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipserve_jobs.gateway.intake.MOST_OPEN", 1)
    with socket.create_connection(("127.0.0.1", gateway.settings.port)) as wire:
        wire.sendall(_head("POST", "/v1/files", 1000) + b"0")
        until(lambda: "uploads_open 1.0" in acme.get("/metrics").text, "the upload is open")
        for response in (
            acme.post("/v1/files", content=b"film"),
            acme.post("/v1/jobs", files={"video": b"v", "speech": b"s"}),
            acme.patch(_begin(acme, 4), content=b"film", headers={**PATCH, "Upload-Offset": "0"}),
        ):
            assert (response.status_code, response.json()["code"]) == (503, "unavailable")
            assert int(response.headers["retry-after"]) > 0
    until(lambda: "uploads_open 0.0" in acme.get("/metrics").text, "it is over")
    assert acme.post("/v1/files", content=b"film").status_code == 201


@pytest.mark.parametrize("name", ["IDLE_SECONDS", "WHOLE_SECONDS"])
def test_a_body_that_trickles_is_given_up(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(f"lipserve_jobs.gateway.bodies.{name}", 0.2)
    with socket.create_connection(("127.0.0.1", gateway.settings.port)) as wire:
        wire.sendall(_head("POST", "/v1/jobs", 1000) + b"{")
        assert wire.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_an_empty_file_is_refused(acme: httpx.Client) -> None:
    assert acme.post("/v1/files", content=b"").json()["code"] == "invalid_input"


def test_a_tus_upload_goes_on_where_it_was(acme: httpx.Client) -> None:
    data = os.urandom(300_000)
    name = base64.b64encode("Fïlm.mp4".encode()).decode()
    path = _begin(acme, len(data), **{"Upload-Metadata": f"filename {name},empty"})
    assert _offset(acme, path) == 0
    for start, end in ((0, 100_000), (100_000, 100_001), (100_001, 300_000)):
        headers = {**PATCH, "Upload-Offset": str(start)}
        response = acme.patch(path, content=data[start:end], headers=headers)
        assert (response.status_code, response.headers["upload-offset"]) == (204, str(end))
    assert _offset(acme, path) == len(data)
    assert _content(acme, path) == data


def test_a_tus_upload_may_begin_with_its_first_bytes(acme: httpx.Client) -> None:
    headers = {**PATCH, "Upload-Length": "10"}
    response = acme.post("/v1/files", content=b"01234", headers=headers)
    assert (response.status_code, response.headers["upload-offset"]) == (201, "5")
    response = acme.patch(
        response.headers["location"], content=b"56789", headers={**PATCH, "Upload-Offset": "5"}
    )
    assert response.status_code == 204


def test_an_upload_that_is_cut_off_keeps_what_came(gateway: Gateway, acme: httpx.Client) -> None:
    data = os.urandom(20_000_000)
    path = _begin(acme, len(data))
    with socket.create_connection(("127.0.0.1", gateway.settings.port)) as wire:
        more = ("Content-Type: application/offset+octet-stream", "Upload-Offset: 0", "Tus-Resumable: 1.0.0")
        wire.sendall(_head("PATCH", path, len(data), *more) + data[:15_000_000])
        wire.shutdown(socket.SHUT_WR)
        until(lambda: _offset(acme, path) == 15_000_000, "what came is kept", 60)
    offset = 15_000_000

    def goes_on() -> bool:
        headers = {**PATCH, "Upload-Offset": str(offset)}
        return acme.patch(path, content=data[offset:], headers=headers).status_code == 204

    until(goes_on, "it goes on")
    assert _content(acme, path) == data


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_bytes_that_are_not_those_of_their_checksum_are_dropped(acme: httpx.Client, name: str) -> None:
    path, data = _begin(acme, 1_000_000), os.urandom(1_000_000)
    wrong = base64.b64encode(hashlib.new(name, b"other").digest()).decode()
    right = base64.b64encode(hashlib.new(name, data).digest()).decode()
    headers = {**PATCH, "Upload-Offset": "0"}
    response = acme.patch(path, content=data, headers={**headers, "Upload-Checksum": f"{name} {wrong}"})
    assert (response.status_code, _offset(acme, path)) == (460, 0)
    response = acme.patch(path, content=data, headers={**headers, "Upload-Checksum": f"{name} {right}"})
    assert (response.status_code, _offset(acme, path)) == (204, len(data))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**PATCH, "Upload-Offset": "7"}, 409),
        ({**PATCH, "Upload-Offset": "x"}, 400),
        ({**PATCH}, 400),
        ({**TUS, "Upload-Offset": "0", "Content-Type": "text/plain"}, 415),
        ({**PATCH, "Upload-Offset": "0", "Tus-Resumable": "0.2.2"}, 412),
        ({**PATCH, "Upload-Offset": "0", "Upload-Checksum": "md5 AA=="}, 400),
        ({**PATCH, "Upload-Offset": "0", "Upload-Checksum": "sha256 ***"}, 400),
    ],
)
def test_a_wrong_patch_changes_nothing(acme: httpx.Client, headers: dict[str, str], status: int) -> None:
    path = _begin(acme, 10)
    assert acme.patch(path, content=b"0123", headers=headers).status_code == status
    assert _offset(acme, path) == 0


def test_no_more_comes_than_was_said(acme: httpx.Client) -> None:
    path = _begin(acme, 10)
    response = acme.patch(path, content=b"0" * 11, headers={**PATCH, "Upload-Offset": "0"})
    assert (response.status_code, _offset(acme, path)) == (413, 0)


@pytest.mark.parametrize("length", ["0", "-1", "x", "", str(10 << 40), "9" * 30])
def test_no_length_but_a_possible_one_is_taken(acme: httpx.Client, length: str) -> None:
    response = acme.post("/v1/files", headers={**TUS, "Upload-Length": length})
    assert response.status_code in (400, 413)


def test_two_requests_at_once_do_not_mix_a_file(gateway: Gateway, acme: httpx.Client) -> None:
    data = os.urandom(4_000_000)
    path, statuses = _begin(acme, len(data)), []

    def slow():  # type: ignore[no-untyped-def]
        for start in range(0, len(data), 100_000):
            yield data[start : start + 100_000]

    def send() -> None:
        with gateway.client("acme") as client:
            headers = {**PATCH, "Upload-Offset": "0"}
            statuses.append(client.patch(path, content=slow(), headers=headers).status_code)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 409, 423}
    assert _content(acme, path) == data


def test_a_file_that_is_not_all_here_makes_no_job(acme: httpx.Client) -> None:
    path = _begin(acme, 10)
    response = acme.post("/v1/jobs", json={**JOB, "video": f"file:{path.rpartition('/')[2]}"})
    assert (response.status_code, "0 of 10 bytes" in response.json()["detail"]) == (400, True)


def test_a_file_is_its_tenants_alone(acme: httpx.Client, beta: httpx.Client) -> None:
    path = _begin(acme, 10)
    assert beta.head(path, headers=TUS).status_code == 404
    assert beta.patch(path, content=b"0", headers={**PATCH, "Upload-Offset": "0"}).status_code == 404
    assert beta.delete(path, headers=TUS).status_code == 404
    assert beta.post("/v1/jobs", json={**JOB, "video": f"file:{path[-32:]}"}).status_code == 400


def test_a_file_is_removed_unless_a_job_uses_it(acme: httpx.Client, hand: Hand) -> None:
    file: dict[str, Any] = acme.post("/v1/files", content=b"film").json()
    acme.post("/v1/jobs", json={**JOB, "video": file["reference"]})
    assert acme.delete(f"/v1/files/{file['id']}", headers=TUS).status_code == 409
    path = _begin(acme, 10)
    assert acme.delete(path, headers=TUS).status_code == 204
    assert acme.head(path, headers=TUS).status_code == 404
    assert hand.objects(f"files/acme/{path[-32:]}/") == []


def test_what_of_tus_is_spoken_is_told(acme: httpx.Client) -> None:
    for path in ("/v1/files", "/v1/files/x"):
        response = acme.options(path)
        assert (response.status_code, response.headers["tus-version"]) == (204, "1.0.0")
        assert "checksum" in response.headers["tus-extension"]
