"""A gateway in a process of its own: how it starts, ends, and what it costs."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from lipserve.errors import ConnectError
from lipserve_cli.main import main
from lipserve_jobs.gateway.serve import serve
from lipserve_jobs.gateway.settings import Settings
from lipserve_jobs.queue.broker import BrokerOptions
from tests.support.gateways import write_tenants
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.processes import Program, cpu_seconds
from tests.support.programs import LIPSERVE
from tests.support.s3 import S3Server
from tests.support.waiting import until

JOB = {"video": "https://example.com/film.mp4", "speech": "https://example.com/speech.wav"}
UPLOADS, UPLOAD_BYTES = 50, 4_000_000
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]


@contextmanager
def serving(nats: str, tenants: Path, *words: str) -> Iterator[tuple[Program, httpx.Client]]:
    """Give a gateway process and a client of the tenant acme."""
    port = free_port("127.0.0.1")
    command = [LIPSERVE, "jobs", "gateway", "--port", str(port), "--nats", nats, "--tenants", tenants, *words]
    headers = {"Authorization": "Bearer key-acme"}
    base = f"http://127.0.0.1:{port}"
    with (
        Program(command) as program,
        httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=120) as client,
    ):
        until(lambda: _ready(program, client), lambda: program.said)
        yield program, client


def _ready(program: Program, client: httpx.Client) -> bool:
    assert program.process.poll() is None, program.said
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _head(method: str, path: str, length: int, *more: str) -> bytes:
    lines = ("Host: x", "Authorization: Bearer key-acme", f"Content-Length: {length}", *more)
    return "\r\n".join((f"{method} {path} HTTP/1.1", *lines, "", "")).encode()


def _at_once(client: httpx.Client, talk: Talk, count: int) -> set[bytes]:
    """Return what came of talking with a gateway on so many connections at once."""

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        try:
            return await talk(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    async def all_of_them() -> set[bytes]:
        return set(await asyncio.gather(*(one() for _ in range(count))))

    return asyncio.run(all_of_them())


async def _upload(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(_head("POST", "/v1/files", UPLOAD_BYTES))
    for _ in range(UPLOAD_BYTES // 50_000):
        writer.write(bytes(50_000))
        await writer.drain()
    return (await reader.readline()).split()[1]


def test_fifty_uploads_at_once_are_within_200_megabytes(
    nats: NatsServer, tmp_path: Path, s3: S3Server
) -> None:
    tenants = write_tenants(tmp_path / "tenants.yaml", acme={})
    store = ("--store", "s3://lipserve/jobs", "--store-endpoint", s3.endpoint)
    with serving(nats.url, tenants, *store) as (program, client):
        assert _at_once(client, _upload, UPLOADS) == {b"201"}
        status = Path(f"/proc/{program.process.pid}/status").read_text()
        assert int(status.partition("VmHWM:")[2].split()[0]) * 1024 < 200_000_000
        assert client.get("/v1/usage").json()["bytes_kept"] >= UPLOADS * UPLOAD_BYTES


def test_a_gateway_holds_no_library_for_pictures_or_sound() -> None:
    code = (
        "import sys, lipserve_jobs.gateway.serve\n"
        "assert not {'av', 'cv2', 'onnxruntime', 'grpc', 'tritonclient'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_two_hundred_looks_at_a_job_cost_less_than_a_second(nats: NatsServer, tmp_path: Path) -> None:
    tenants = write_tenants(tmp_path / "tenants.yaml", acme={})
    with serving(nats.url, tenants, "--store", str(tmp_path / "store")) as (program, client):
        path = client.post("/v1/jobs", json=JOB).headers["location"]

        async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
            for _ in range(50):
                writer.write(_head("GET", path, 0))
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
            return head.split()[1]

        before = cpu_seconds(program.process.pid)
        assert _at_once(client, look, 8) == {b"200"}
        assert (cpu_seconds(program.process.pid) - before) / 2 < 1


def test_a_gateway_that_is_told_to_end_lets_bodies_end(nats: NatsServer, tmp_path: Path) -> None:
    tenants = write_tenants(tmp_path / "tenants.yaml", acme={})
    with serving(nats.url, tenants, "--store", str(tmp_path / "store")) as (program, client):
        told: list[str] = []

        def listen() -> None:
            with client.stream("GET", "/v1/events") as response:
                told.extend(response.iter_lines())

        id = client.post("/v1/jobs", json=JOB).json()["id"]
        listening = threading.Thread(target=listen)
        listening.start()
        until(lambda: "event_streams 1.0" in client.get("/metrics").text, "the stream is open")
        address = ("127.0.0.1", client.base_url.port or 0)
        with socket.create_connection(address) as waiting, socket.create_connection(address) as wire:
            waiting.sendall(_head("GET", f"/v1/jobs/{id}", 0, "Prefer: wait=60"))
            wire.sendall(_head("POST", "/v1/files", 200_000) + bytes(100_000))
            until(lambda: "uploads_open 1.0" in client.get("/metrics").text, "the upload is open")
            program.process.send_signal(signal.SIGTERM)
            listening.join()  # streams of events end at once, and who waits for a job is answered
            assert waiting.recv(12) == b"HTTP/1.1 200"
            wire.sendall(bytes(100_000))
            assert wire.recv(12) == b"HTTP/1.1 201"
        assert program.ends() == 0, program.said
        assert "Traceback" not in program.said


def test_a_gateway_without_nats_says_so(tmp_path: Path) -> None:
    nobody = BrokerOptions(f"nats://127.0.0.1:{free_port('127.0.0.1')}", patience=0.2)
    with pytest.raises(ConnectError, match="NATS does not answer"):
        serve(Settings(nobody, str(tmp_path / "store"), port=free_port("127.0.0.1")))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host", "0.0.0.0"], "nobody is asked who they are"),
        (["--oidc-issuer", "https://login.example.com"], "needs --oidc-audience"),
        (["--tenants", "/nowhere.yaml"], "cannot be read"),
        (["--session-secret-file", "/nowhere"], "secret of sessions"),
        (["--upload-memory", "0"], "below 1"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["jobs", "gateway", *words]) in (2, 5)
    assert told in capsys.readouterr().err
