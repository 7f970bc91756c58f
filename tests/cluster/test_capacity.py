"""Ready pods are never fewer than one less than wanted (of one: one), whatever an upgrade or a node does.

The objects are the chart's own, rendered by real Helm; `simulation.py` is the cluster.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.simulation import Cluster
from tests.support.stores import export

Object = dict[str, Any]
# Replicas, GPUs: as many as pods where there are several, and one more of a single pod; with room, too.
SIZES = [(1, 2), (2, 2), (3, 3), (3, 5)]


def values(replicas: int, server: str = "0.1.0", exporter: str = "26.11-py3", **more: Any) -> Object:
    return {
        "profile": "tensorrt",
        "accelerator": {"kind": "gpu", "product": ["NVIDIA-A100-SXM4-80GB"]},
        "replicas": replicas,
        "image": {"tag": server},
        "engines": {"build": {"image": {"tag": exporter}}},
        "store": {"pvc": {"existingClaim": "models", "accessModes": ["ReadWriteMany"]}},
        "priorityClass": {"create": True},
        **more,
    }


def paused(given: Object) -> Object:
    return copy.deepcopy(given) | {"rollout": {"paused": True}}


@pytest.fixture
def installed(render: Callable[..., list[Object]], tmp_path: Path) -> Callable[..., Cluster]:
    """Return what gives a cluster with the release at rest."""

    def install(replicas: int, gpus: int, **more: Any) -> Cluster:
        export(tmp_path / "store")
        nodes = [f"gpu-{number}" for number in range(gpus)]
        cluster = Cluster(render, tmp_path / "store", nodes)
        cluster.apply(values(replicas, **more))
        cluster.until(cluster.settled)
        assert cluster.runs == 1
        cluster.ready.clear()
        return cluster

    return install


def build_first(cluster: Cluster, new: Object) -> None:
    """Upgrade as `lipserve ops upgrade` does."""
    cluster.apply(paused(new))
    cluster.until(lambda: cluster.job is None or cluster.job.end != "")
    if cluster.job is None or cluster.job.end == "Complete":
        cluster.apply(new)
        cluster.until(cluster.settled)


def least(cluster: Cluster) -> int:
    """Return the fewest ready pods so far."""
    return min(cluster.ready)


@pytest.mark.parametrize(("replicas", "gpus"), SIZES)
def test_an_upgrade_that_builds_first(installed: Any, replicas: int, gpus: int) -> None:
    cluster = installed(replicas, gpus)
    build_first(cluster, values(replicas, "0.2.0", "27.01-py3"))
    assert cluster.runs == 2
    assert {pod.machine.tensorrt for pod in cluster.pods} == {"10.14.1"}
    assert least(cluster) >= max(1, replicas - 1)


def test_with_a_gpu_to_spare_no_pod_goes_while_engines_are_built(installed: Any) -> None:
    cluster = installed(3, 5)
    cluster.apply(paused(values(3, "0.2.0", "27.01-py3")))
    cluster.until(lambda: cluster.job.end == "Complete")
    assert least(cluster) == 3


@pytest.mark.parametrize(("replicas", "gpus"), SIZES)
def test_a_plain_upgrade(installed: Any, replicas: int, gpus: int) -> None:
    cluster = installed(replicas, gpus)
    cluster.apply(values(replicas, "0.2.0", "27.01-py3"))
    cluster.until(cluster.settled)
    assert least(cluster) >= max(1, replicas - 1)


@pytest.mark.parametrize(("replicas", "gpus"), SIZES)
def test_a_patch_release_builds_nothing(installed: Any, replicas: int, gpus: int) -> None:
    cluster = installed(replicas, gpus)
    cluster.apply(values(replicas, "0.1.1", commonLabels={"team": "video"}))
    cluster.until(cluster.settled)
    assert cluster.runs == 1
    assert least(cluster) >= max(1, replicas - 1)


@pytest.mark.parametrize(("replicas", "gpus"), SIZES)
@pytest.mark.parametrize("first", [True, False], ids=["built first", "plain"])
def test_a_failed_job_and_the_rollback_after_it(
    installed: Any, replicas: int, gpus: int, first: bool
) -> None:
    cluster = installed(replicas, gpus)
    cluster.exit_code = 5
    new = values(replicas, "0.2.0", "27.01-py3")
    if first:
        build_first(cluster, new)
    else:
        cluster.apply(new)
        cluster.until(lambda: cluster.job.end == "Failed")
    assert cluster.job.end == "Failed"
    assert cluster.runs == 1 + 4  # a try, and three more
    cluster.run(60)  # until somebody looks
    cluster.exit_code = 0
    cluster.apply(values(replicas))
    cluster.until(lambda: cluster.settled() and cluster.job.end == "Complete")
    assert least(cluster) >= max(1, replicas - 1)


@pytest.mark.parametrize(("replicas", "gpus"), SIZES)
@pytest.mark.parametrize("first", [True, False], ids=["built first", "plain"])
def test_a_rollback_while_the_job_is_at_work(installed: Any, replicas: int, gpus: int, first: bool) -> None:
    cluster = installed(replicas, gpus)
    new = values(replicas, "0.2.0", "27.01-py3")
    cluster.apply(paused(new) if first else new)
    cluster.run(5)
    assert cluster.job.end == ""
    cluster.apply(values(replicas))
    cluster.until(cluster.settled)
    cluster.until(lambda: cluster.job.end == "Complete")
    cluster.until(cluster.settled)
    assert {pod.machine.tensorrt for pod in cluster.pods} == {"10.13.3"}
    assert least(cluster) >= max(1, replicas - 1)


@pytest.mark.parametrize("during", [False, True], ids=["at rest", "in an upgrade"])
def test_nodes_that_are_emptied_one_after_the_other(installed: Any, during: bool) -> None:
    cluster = installed(3, 5)
    if during:
        cluster.apply(values(3, "0.1.1"))
    for node in ("gpu-0", "gpu-1", "gpu-2"):
        cluster.drain(node)
        cluster.until(lambda: cluster.ready[-1:] == [3])
        cluster.cordoned.clear()
    cluster.until(cluster.settled)
    assert least(cluster) >= 2


def test_the_node_of_a_single_pod_is_emptied_after_a_restart(installed: Any) -> None:
    cluster = installed(1, 2)
    (pod,) = cluster.pods
    cluster.cordoned.add(pod.node)
    cluster.restart()
    cluster.until(cluster.settled)
    cluster.drain(pod.node)
    assert least(cluster) == 1


def test_tries_that_gave_way_do_not_count(installed: Any) -> None:
    cluster = installed(2, 3)
    cluster.apply(paused(values(2, "0.2.0", "27.01-py3")))
    for _ in range(10):
        cluster.run(3)
        cluster.interrupt()
    cluster.until(lambda: cluster.job.end == "Complete")


def test_an_argument_that_is_refused_fails_the_job_at_its_first_try(installed: Any) -> None:
    cluster = installed(2, 3)
    cluster.exit_code = 2
    build_first(cluster, values(2, "0.2.0", "27.01-py3"))
    assert (cluster.job.end, cluster.runs) == ("Failed", 2)


def test_the_simulation_sees_what_an_older_strategy_takes_away(installed: Any) -> None:
    cluster = installed(1, 2)
    naive = values(1, "0.2.0", "27.01-py3", rollout={"maxSurge": 0, "maxUnavailable": 1})
    cluster.apply(naive)
    cluster.until(cluster.settled)
    assert least(cluster) == 0
    assert cluster.ready.count(0) >= 10  # as long as the Job builds
