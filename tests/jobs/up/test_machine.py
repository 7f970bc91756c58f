"""`lipserve jobs up`: everything on one machine."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx
import psutil
import pytest

from lipserve_jobs.up.nats import prepare
from tests.support.ports import free_port
from tests.support.processes import Program
from tests.support.programs import LIPSERVE
from tests.support.waiting import until


def _up(folder: Path, port: int) -> Program:
    """Start it with a Triton that does not answer: jobs are taken, and wait."""
    nowhere = f"127.0.0.1:{free_port('127.0.0.1')}"
    return Program((LIPSERVE, "jobs", "up", "--folder", folder, "--port", str(port), "--url", nowhere))


@pytest.mark.slow
def test_a_restart_on_the_same_folder_shows_the_same_jobs(tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    page = f"http://127.0.0.1:{port}"
    with _up(tmp_path, port) as service, httpx.Client(base_url=page, trust_env=False, timeout=30) as client:
        service.find("LipServe is ready")
        assert "<html" in client.get("/").text
        files = {"video": ("v.mp4", b"not looked at yet"), "speech": ("s.wav", b"neither")}
        job = client.post("/v1/jobs", files=files, data={"request": '{"name": "kept"}'}).json()
        children = psutil.Process(service.process.pid).children(recursive=True)
        assert {"nats-server"} < {child.name() for child in children}
        service.process.send_signal(signal.SIGINT)
        assert service.ends() == 0
        until(lambda: not any(child.is_running() for child in children), "all processes end")
    with _up(tmp_path, port) as service, httpx.Client(base_url=page, trust_env=False, timeout=30) as client:
        service.find("LipServe is ready")
        (found,) = client.get("/v1/jobs").json()["jobs"]
        assert (found["id"], found["name"]) == (job["id"], "kept")


def test_a_process_that_dies_is_started_anew(tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    with _up(tmp_path, port) as service, httpx.Client(trust_env=False, timeout=30) as client:
        service.find("LipServe is ready")
        children = psutil.Process(service.process.pid).children()
        (gateway,) = (child for child in children if "gateway" in child.cmdline())
        gateway.kill()

        def answers() -> bool:
            try:
                return client.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
            except httpx.HTTPError:
                return False

        service.find("gateway ended")
        until(answers, lambda: f"the gateway answers again: {service.said}", 60)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with _up(tmp_path, taken.getsockname()[1]) as service:
            assert service.ends() == 5
        assert "Give another one with --port" in service.said


def test_a_service_for_others_asks_who_they_are(tmp_path: Path) -> None:
    with Program((LIPSERVE, "jobs", "up", "--folder", tmp_path, "--host", "0.0.0.0")) as service:
        assert service.ends() == 2
    assert "--tenants" in service.said


def test_the_queue_has_a_password_that_others_cannot_read(tmp_path: Path) -> None:
    server = prepare(tmp_path / "nats", 4222)
    password = (tmp_path / "nats" / "password").read_text()
    assert password in server.url
    assert not any(password in word for word in server.command)
    for name in ("password", "server.conf"):
        assert (tmp_path / "nats" / name).stat().st_mode & 0o077 == 0
    assert prepare(tmp_path / "nats", 4222) == server
