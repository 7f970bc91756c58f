"""The pod's annotation, as an API server over TLS receives it."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from lipserve.errors import SetupError
from lipserve_server.deletion_cost import DeletionCost, Identity, identify, patch


@dataclass
class ApiServer:
    """What was asked of it, and what it answers."""

    identity: Identity
    status: int = 200
    asked: list[tuple[str, str, dict[str, str], object]] = field(default_factory=list)

    def costs(self) -> list[str]:
        found = []
        for _, _, _, body in self.asked:
            assert isinstance(body, dict)
            found.append(body["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"])
        return found


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("first-token\n")
    (tmp_path / "namespace").write_text("media")

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.asked.append((self.command, self.path, dict(self.headers), body))
            self.send_response(made.status)
            self.end_headers()
            self.wfile.write(b'{"message": "pods is forbidden"}')

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made = ApiServer(Identity("127.0.0.1", server.server_port, "lipserve-0", tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_one_annotation_of_one_pod_is_patched(api: ApiServer) -> None:
    patch(api.identity, 3)
    ((method, path, headers, body),) = api.asked
    assert (method, path) == ("PATCH", "/api/v1/namespaces/media/pods/lipserve-0")
    assert headers["Content-Type"] == "application/merge-patch+json"
    assert headers["Authorization"] == "Bearer first-token"
    assert body == {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "3"}}}


def test_the_token_is_read_each_time_because_it_is_renewed(api: ApiServer) -> None:
    patch(api.identity, 1)
    (api.identity.account / "token").write_text("second-token")
    patch(api.identity, 2)
    assert [asked[2]["Authorization"] for asked in api.asked] == ["Bearer first-token", "Bearer second-token"]


def test_a_server_of_another_authority_gets_no_token(api: ApiServer) -> None:
    trustme.CA().cert_pem.write_to_path(api.identity.account / "ca.crt")
    with pytest.raises(ssl.SSLCertVerificationError):
        patch(api.identity, 1)
    assert api.asked == []


def test_only_changes_are_told_and_no_more_often_than_the_interval(api: ApiServer) -> None:
    cost = [0]
    teller = DeletionCost(api.identity, lambda: cost[0], interval=0.05)
    teller.start()
    deadline = time.monotonic() + 10
    for expected in (1, 2, 3):
        while len(api.asked) < expected and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.12)  # it stays so for two intervals
        cost[0] += 2
    teller.stop()
    assert api.costs()[:3] == ["0", "2", "4"]
    assert len(api.asked) <= 4


def test_a_refusal_is_told_once_and_tried_again(api: ApiServer, caplog: pytest.LogCaptureFixture) -> None:
    api.status = 403
    teller = DeletionCost(api.identity, lambda: 5, interval=0.02)
    with caplog.at_level(logging.WARNING):
        teller.start()
        deadline = time.monotonic() + 10
        while len(api.asked) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        api.status = 200
        while len(api.asked) < 4 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.1)
        teller.stop()
    assert [record.getMessage() for record in caplog.records] == [
        'The pod\'s deletion cost is not told: 403 Forbidden: {"message": "pods is forbidden"}'
    ]
    assert len(api.asked) <= 5, "it was taken, and told again"


def test_an_api_server_that_is_not_there_does_no_harm(api: ApiServer) -> None:
    teller = DeletionCost(replace(api.identity, port=1), lambda: 5, interval=0.01)
    teller.start()
    time.sleep(0.1)
    teller.stop()
    assert api.asked == []


def test_the_pod_knows_itself_by_what_kubernetes_gives_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    environment = {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "KUBERNETES_SERVICE_PORT": "6443",
        "POD_NAME": "lipserve-7",
    }
    assert identify(environment, tmp_path) == Identity("10.0.0.1", 6443, "lipserve-7", tmp_path)


@pytest.mark.parametrize("environment", [{}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}])
def test_without_a_token_the_option_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    with pytest.raises(SetupError, match="automountServiceAccountToken"):
        identify(environment, tmp_path)
