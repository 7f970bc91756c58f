"""`lipserve jobs up`: everything on one machine."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx
import psutil
import pytest
from standardwebhooks import Webhook

from lipserve_jobs.up.nats import prepare
from tests.support.ports import free_port
from tests.support.processes import Program
from tests.support.programs import LIPSERVE
from tests.support.sites import Site
from tests.support.waiting import until


def _up(folder: Path, port: int, *words: str | Path) -> Program:
    """Start it with a Triton that does not answer: jobs are taken, and wait."""
    nowhere = f"127.0.0.1:{free_port('127.0.0.1')}"
    return Program(
        (LIPSERVE, "jobs", "up", "--folder", folder, "--port", str(port), "--url", nowhere, *words)
    )


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


def test_webhooks_are_signed_and_a_process_that_dies_is_started_anew(tmp_path: Path) -> None:
    port, secret = free_port("127.0.0.1"), "whsec_" + "b3Vycw" * 8
    (tmp_path / "secret").write_text(secret)
    words = ("--webhook-secret-file", tmp_path / "secret", "--allow-private-addresses")
    with (
        Site(lambda came, answer: answer.whole(204)) as site,
        _up(tmp_path, port, *words) as service,
        httpx.Client(trust_env=False, timeout=30) as client,
    ):
        service.find("LipServe is ready")
        wanted = {"video": "http://127.0.0.1:9/a.mp4", "speech": "http://127.0.0.1:9/a.wav"}
        job = client.post(f"http://127.0.0.1:{port}/v1/jobs", json={**wanted, "webhook": site.url()}).json()
        client.delete(f"http://127.0.0.1:{port}/v1/jobs/{job['id']}")
        until(lambda: site.asked, lambda: f"the webhook is told: {service.said}", 60)
        told = Webhook(secret).verify(site.asked[0].body, site.asked[0].headers)
        assert (told["type"], told["id"]) == ("job.cancelled", job["id"])
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


def test_a_secret_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for name in ("secret", "none"):
        with _up(tmp_path, free_port("127.0.0.1"), "--webhook-secret-file", tmp_path / name) as service:
            assert service.ends() == 5
        assert "whsec_" in service.said


def test_the_queue_has_a_password_that_others_cannot_read(tmp_path: Path) -> None:
    server = prepare(tmp_path / "nats", 4222)
    password = (tmp_path / "nats" / "password").read_text()
    assert password in server.url
    assert not any(password in word for word in server.command)
    for name in ("password", "server.conf"):
        assert (tmp_path / "nats" / name).stat().st_mode & 0o077 == 0
    assert prepare(tmp_path / "nats", 4222) == server
