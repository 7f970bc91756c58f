"""What is made of a pod's status and of a metrics page, piece by piece."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiClient

from lipserve_ops import build_engines, metrics, release
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


def test_samples_have_labels_and_values() -> None:
    page = '# HELP a_total b\na_total{stage="x",path="/a\\"b"} 3\na_total 4.5e1 1700000000\nb NaN\n\n'
    found = metrics.samples(page)
    assert found["a_total"] == [({"stage": "x", "path": '/a\\"b'}, 3.0), ({}, 45.0)]
    assert found["missing"] == []
    assert found["b"][0][1] != found["b"][0][1]


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
    assert build_engines.failure(job, [pod]) == (
        "triton ended with 137 (OOMKilled) (BackoffLimitExceeded: m)",
        137,
    )
    assert build_engines.failure(job, []) == ("BackoffLimitExceeded: m", 1)
