"""What is made of a pod's status and of a metrics page, piece by piece."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiClient

from lipserve_ops import jobs, metrics, release
from lipserve_ops.errors import ClusterError


def _made(kind: str, **fields: Any) -> Any:
    """Return an object of the API from its JSON, as the client reads it."""
    known = {"metadata": {"name": "a"}, "spec": {"containers": []}, "status": {"phase": "Running"}} | fields
    return ApiClient().deserialize(json.dumps(known), kind, "application/json")


def _container(**state: Any) -> dict[str, Any]:
    return {"name": "triton", "ready": False, "restartCount": 0, "image": "i", "imageID": "", "state": state}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"phase": "Running"}, "Running"),
        ({"phase": "Pending"}, "Pending"),
        (
            {"phase": "Running", "containerStatuses": [_container(waiting={"reason": "CrashLoopBackOff"})]},
            "CrashLoopBackOff",
        ),
        (
            {"phase": "Pending", "containerStatuses": [_container(waiting={"reason": "PodInitializing"})]},
            "Pending",
        ),
        ({"phase": "Pending", "initContainerStatuses": [_container(running={})]}, "Init:triton"),
        (
            {"phase": "Pending", "initContainerStatuses": [_container(waiting={"reason": "ErrImagePull"})]},
            "Init:ErrImagePull",
        ),
    ],
)
def test_state(status: dict[str, Any], state: str) -> None:
    assert release.state(_made("V1Pod", status=status)) == state


def test_a_pod_that_is_being_deleted_is_terminating_and_not_ready() -> None:
    metadata = {"name": "a", "deletionTimestamp": "2026-11-21T12:00:00Z"}
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    pod = _made("V1Pod", metadata=metadata, status=status)
    assert release.state(pod) == "Terminating"
    assert not release.is_ready(pod)


def test_the_newest_warning_is_told_where_nothing_else_is() -> None:
    events = [
        SimpleNamespace(
            reason=f"R{hour}",
            message="m",
            last_timestamp=datetime(2026, 11, 21, hour, tzinfo=UTC),
            event_time=None,
        )
        for hour in (3, 9, 5)
    ]
    assert release.trouble(_made("V1Pod"), events) == "R9: m"
    assert release.trouble(_made("V1Pod"), []) == ""


OWN = """lipserve_pending_segments 2
lipserve_oldest_pending_seconds 1.5
lipserve_engine_info{key="sm80}tensorrt",profile="tensorrt"} 1
"""
STAGES = """lipserve_segments_in_flight{stage="a",instance="a_0"} 1
lipserve_segments_in_flight{stage="b",instance="b_0"} 2
"""


def _read(monkeypatch: pytest.MonkeyPatch, own: str, stages: str) -> metrics.PodMetrics:
    pages = {8080: own, 8002: stages}
    monkeypatch.setattr(metrics, "fetch", lambda cluster, pod, port, path: pages[port])
    ports = [{"name": name, "containerPort": port} for name, port in (("health", 8080), ("metrics", 8002))]
    pod = _made("V1Pod", metadata={"name": "p-0"}, spec={"containers": [{"name": "triton", "ports": ports}]})
    return metrics.read(None, pod)  # type: ignore[arg-type]


def test_a_pods_two_pages_tell_of_its_queue_and_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _read(monkeypatch, OWN, STAGES) == metrics.PodMetrics(3, 2, 1.5, "sm80}tensorrt", "")
    refusal = 'lipserve_setup_error{reason="engine"} 1\n'
    assert _read(monkeypatch, OWN + refusal, "not asked").setup_error == "engine"
    assert _read(monkeypatch, OWN + refusal.replace("} 1", "} 0"), STAGES).setup_error == ""


@pytest.mark.parametrize(
    ("own", "stages"),
    [
        ("<html>503</html>", STAGES),
        (OWN.replace(" 2", " NaN"), STAGES),
        (OWN, STAGES.replace(" 2", " +Inf")),
        (OWN, "\ufffd\ufffd"),
    ],
)
def test_a_page_of_no_metrics_is_a_typed_error(
    monkeypatch: pytest.MonkeyPatch, own: str, stages: str
) -> None:
    with pytest.raises(ClusterError, match="p-0 gives no metrics: "):
        _read(monkeypatch, own, stages)


def test_a_port_that_a_pod_has_not_is_named() -> None:
    ports = [{"name": "grpc", "containerPort": 8001}]
    pod = _made("V1Pod", spec={"containers": [{"name": "triton", "ports": ports}]})
    assert metrics.named_port(pod, "grpc") == 8001
    with pytest.raises(ClusterError, match="no port named health"):
        metrics.named_port(pod, "health")


def test_a_failed_job_has_the_exit_code_of_its_container() -> None:
    condition = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}
    job = _made("V1Job", spec={"template": {}}, status={"conditions": [condition]})
    ended = {"exitCode": 137, "reason": "OOMKilled"}
    pod = _made("V1Pod", status={"phase": "Failed", "containerStatuses": [_container(terminated=ended)]})
    assert jobs.failure(job, [pod]) == (
        "triton ended with 137 (OOMKilled) (BackoffLimitExceeded: m)",
        137,
    )
    assert jobs.failure(job, []) == ("BackoffLimitExceeded: m", 1)
