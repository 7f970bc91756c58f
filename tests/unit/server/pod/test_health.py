"""The health port by itself: what it answers, to whom, and how fast it gives up on those who do not ask."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest

from lipserve.errors import SetupError
from lipserve_server.pod.health import HealthPort


class Patient:
    ill: list[str] = []  # noqa: RUF012 (a test's own)
    hindered: list[str] = []  # noqa: RUF012

    def liveness_problems(self) -> list[str]:
        return self.ill

    def readiness_problems(self) -> list[str]:
        return self.hindered

    def page(self) -> str:
        return "lipserve_ready 1\n"


@pytest.fixture
def patient() -> Patient:
    return Patient()


@pytest.fixture
def port(patient: Patient) -> Iterator[int]:
    with HealthPort("127.0.0.1", 0, patient) as health:
        yield health.port


def ask(port: int, path: str, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    finally:
        connection.close()


def test_healthy_pod_answers_ok(port: int) -> None:
    assert ask(port, "/livez")[:2] == ask(port, "/readyz?verbose")[:2] == (200, "ok\n")


def test_reasons_are_listed_line_by_line(port: int, patient: Patient) -> None:
    patient.ill, patient.hindered = ["One.", "Two."], ["Three."]
    assert ask(port, "/livez")[:2] == (503, "One.\nTwo.\n")
    assert ask(port, "/readyz")[:2] == (503, "Three.\n")


def test_prometheus_gets_its_own_format(port: int) -> None:
    assert ask(port, "/metrics") == (200, "lipserve_ready 1\n", "text/plain; version=0.0.4; charset=utf-8")


@pytest.mark.parametrize(
    ("path", "method", "status"), [("/", "GET", 404), ("/../etc/passwd", "GET", 404), ("/livez", "POST", 501)]
)
def test_other_paths_and_methods_are_refused(port: int, path: str, method: str, status: int) -> None:
    assert ask(port, path, method)[0] == status


def test_a_silent_connection_delays_no_other(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)):
        assert ask(port, "/livez")[0] == 200


def test_a_taken_port_is_named(port: int, patient: Patient) -> None:
    with pytest.raises(SetupError, match=rf"Port {port} of 127\.0\.0\.1 .*--health-port"):
        HealthPort("127.0.0.1", port, patient)
