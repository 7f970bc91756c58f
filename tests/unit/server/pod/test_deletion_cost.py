"""The pod's annotation, as an API server over TLS receives it."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from lipserve.errors import SetupError
from lipserve_server.pod.api_server import Identity, identify
from lipserve_server.pod.deletion_cost import ANNOTATION, DeletionCost, identity, patch
from tests.support.waiting import until


@pytest.fixture
def api(api_server: Callable[[Path], AbstractContextManager[Any]], tmp_path: Path) -> Iterator[Any]:
    with api_server(tmp_path) as made:
        yield made


@pytest.fixture
def pod(api: Any) -> Identity:
    return Identity("127.0.0.1", api.port, "lipserve-0", api.account)


def test_one_annotation_of_one_pod_is_patched(api: Any, pod: Identity) -> None:
    patch(pod, 3)
    ((method, path, headers, body),) = api.asked
    assert (method, path) == ("PATCH", "/api/v1/namespaces/media/pods/lipserve-0")
    assert headers["Content-Type"] == "application/merge-patch+json"
    assert headers["Authorization"] == "Bearer first-token"
    assert body == {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "3"}}}


def test_the_token_is_read_each_time_because_it_is_renewed(api: Any, pod: Identity) -> None:
    patch(pod, 1)
    (api.account / "token").write_text("second-token")
    patch(pod, 2)
    assert [asked[2]["Authorization"] for asked in api.asked] == ["Bearer first-token", "Bearer second-token"]


def test_a_server_of_another_authority_gets_no_token(api: Any, pod: Identity) -> None:
    trustme.CA().cert_pem.write_to_path(api.account / "ca.crt")
    with pytest.raises(ssl.SSLCertVerificationError):
        patch(pod, 1)
    assert api.asked == []


def test_only_changes_are_told_and_no_more_often_than_the_interval(api: Any, pod: Identity) -> None:
    cost = [0]
    teller = DeletionCost(pod, lambda: cost[0], interval=0.05)
    teller.start()
    for expected in (1, 2, 3):
        until(lambda expected=expected: len(api.asked) >= expected)  # type: ignore[misc]
        time.sleep(0.12)  # it stays so for two intervals
        cost[0] += 2
    teller.stop()
    assert [told[ANNOTATION] for told in api.annotations()][:3] == ["0", "2", "4"]
    assert len(api.asked) <= 4


def test_a_refusal_is_told_once_and_tried_again(
    api: Any, pod: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    api.status = 403
    teller = DeletionCost(pod, lambda: 5, interval=0.02)
    with caplog.at_level(logging.WARNING):
        teller.start()
        until(lambda: len(api.asked) >= 3)
        api.status = 200
        until(lambda: len(api.asked) >= 4)
        time.sleep(0.1)
        teller.stop()
    assert [record.getMessage() for record in caplog.records] == [
        'The pod\'s deletion cost is not told: 403 Forbidden: {"message": "pods is forbidden"}'
    ]
    assert len(api.asked) <= 5, "it was taken, and told again"


def test_an_api_server_that_is_not_there_does_no_harm(api: Any, pod: Identity) -> None:
    teller = DeletionCost(replace(pod, port=1), lambda: 5, interval=0.01)
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
def test_without_a_token_no_call_is_made(tmp_path: Path, environment: dict[str, str]) -> None:
    assert identify(environment, tmp_path) is None


def test_without_a_token_the_option_is_refused() -> None:
    with pytest.raises(SetupError, match="automountServiceAccountToken"):
        identity()
