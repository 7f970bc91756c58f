"""A release of the chart on a stand-in for an API server, with real pods' processes behind it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lipserve import audio
from lipserve_client._samples import SPEECH
from tests.cluster.ops.node import Node
from tests.cluster.ops.stand_in import Object, StandIn
from tests.support.groups import until_its_group_ends
from tests.support.programs import ops as main
from tests.support.servers import PodProgram, port_of

VALUES = Path(__file__).resolve().parents[3] / "helm/lipserve/ci/a100-values.yaml"
PORTS = (8001, 8002, 8080)

Operate = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def serving(exported_lipwarp: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodProgram]:
    """A pod's process that tests call, and harm in no way."""
    program = PodProgram(exported_lipwarp, tmp_path_factory.mktemp("work"))
    with until_its_group_ends("serving", program) as pod:
        assert pod.url
        yield pod


@pytest.fixture(scope="session")
def short_speech() -> bytes:
    """Two seconds: 50 frames of work."""
    return audio.wav(audio.load(SPEECH)[:32_000])


def ports(pod: PodProgram) -> tuple[int, int, int]:
    """Return a pod's ports on this machine, in the order of PORTS, as soon as it is ready."""
    return port_of(pod.url), pod.page.port, pod.health.port


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def cluster(tmp_path: Path, node: Node) -> Iterator[StandIn]:
    with StandIn(tmp_path, node) as running:
        yield running


@pytest.fixture
def installed(cluster: StandIn, render: Callable[..., list[Object]]) -> StandIn:
    """The cluster with the chart's Deployment, Services and build Job, and no pod."""
    kinds = {"Deployment": "deployments", "Service": "services", "Job": "jobs"}
    watched = {"metrics": {"serviceMonitor": {"enabled": True}}}  # its Service keeps pods that drain
    for made in render(yaml.safe_load(VALUES.read_text()) | watched, "video"):
        if made["kind"] in kinds:
            cluster.put(kinds[made["kind"]], {"status": {}, **made})
    labels = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    cluster.put("nodes", {"kind": "Node", "metadata": {"name": "gpu-1", "labels": labels}})
    return cluster


@pytest.fixture
def add_pod(installed: StandIn) -> Callable[..., Object]:
    """Return what adds a pod of the chart's Deployment: `process` behind it, or none.

    `status` is laid over that of a pod that runs and is ready.
    """

    def added(name: str, process: PodProgram | None = None, **status: Any) -> Object:
        template = copy.deepcopy(installed.objects["deployments"]["lipserve"]["spec"]["template"])
        running = {"name": "triton", "ready": True, "restartCount": 0, "image": "i", "imageID": ""}
        ready = [{"type": "Ready", "status": "True"}]
        known = {"phase": "Running", "conditions": ready, "containerStatuses": [running | {"state": {}}]}
        pod = {
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": name},
            "spec": {**template["spec"], "nodeName": "gpu-1"},
            "status": known | status,
        }
        if process:
            for port, real in zip(PORTS, ports(process), strict=True):
                installed.node.ports[name, port] = real
        return installed.put("pods", pod)

    return added


@pytest.fixture
def operate(cluster: StandIn, capsys: pytest.CaptureFixture[str]) -> Operate:
    """Return what runs `lipserve ops` on the cluster: its exit code, stdout and stderr."""

    def operated(*arguments: str, token: str = "operator") -> tuple[int, str, str]:
        code = main([*arguments, "--kubeconfig", str(cluster.kubeconfig(token))])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return operated
