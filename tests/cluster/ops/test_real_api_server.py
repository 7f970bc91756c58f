"""`lipserve ops` on a real API server with its controllers: labels, endpoints, replicas and Jobs are theirs.

No container runs: pods are marked ready by a stand-in for the kubelet, and the port-forwards and logs that
the API server asks of their node end at one real pod's process.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

from lipserve_ops import metrics
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.cluster.ops.conftest import PORTS, ports
from tests.cluster.ops.node import Handler, Log, Node, Server
from tests.cluster.ops.stand_in import Object
from tests.support.programs import ops as main
from tests.support.servers import PodProgram
from tests.support.waiting import until

pytestmark = [pytest.mark.serve, pytest.mark.slow]

NAMESPACE = "operated"
PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "Service": "/api/v1/namespaces/{}/services",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
}
VALUES: Object = {
    "replicas": 2,
    "store": {"pvc": {"accessModes": ["ReadWriteMany"]}, "export": {"enabled": True}},
}


class _NodeHandler(Handler):
    """The part of a kubelet's port that an API server passes port-forwards and logs on to."""

    node: Node

    def do_GET(self) -> None:  # noqa: N802
        asked = urlsplit(self.path)
        if at := re.fullmatch(r"/portForward/[^/]+/([^/]+)(?:/[^/]+)?", asked.path):
            self.node.forward(self, at[1], int(parse_qs(asked.query)["port"][0]))
        elif at := re.fullmatch(r"/containerLogs/[^/]+/([^/]+)/([^/]+)", asked.path):
            self.node.send_log(self, at[1], at[2])
        else:
            self.send_error(404)


@pytest.fixture
def real_node(control_plane: ControlPlane, serving: PodProgram, tmp_path: Path) -> Iterator[Node]:
    """The node that the kubelet's stand-in binds pods to, with a port of its own for the API server."""
    node = Node(ports={("*", port): real for port, real in zip(PORTS, ports(serving), strict=True)})
    for container in ("export", "engines", "publish"):
        node.logs["*", container] = log = Log([f"{container} at work\n".encode()])
        log.ended.set()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = Server(context, type("Bound", (_NodeHandler,), {"node": node}))
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": server.server_port}},
    }
    labels = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    control_plane.api(
        "POST", "/api/v1/nodes", {"metadata": {"name": "node", "labels": labels}, "status": status}
    )
    with server:
        yield node
    control_plane.api("DELETE", "/api/v1/nodes/node")


@pytest.fixture
def operate(
    control_plane: ControlPlane,
    kubelet: Kubelet,
    real_node: Node,
    render: Callable[..., list[Object]],
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Install the chart's objects without Helm, and return what runs `lipserve ops` on them."""
    api = control_plane.api
    api("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    for made in render(VALUES, NAMESPACE, "1.29.0"):
        if made["kind"] == "PersistentVolumeClaim":
            made["spec"]["storageClassName"] = "none"  # the only volume is for others
        if made["kind"] in PATHS:
            api("POST", PATHS[made["kind"]].format(NAMESPACE), made)

    def operated(*arguments: str) -> tuple[int, str, str]:
        cluster = ("--kubeconfig", str(control_plane.kubeconfig), "--namespace", NAMESPACE)
        code = main([*arguments, *cluster])
        said = capsys.readouterr()
        return code, said.out, said.err

    until(lambda: operated("status")[0] == 0, lambda: str(operated("status")))
    yield operated
    for kind in ("Deployment", "Job"):
        path = PATHS[kind].format(NAMESPACE)
        for made in api("GET", path)["items"]:
            api("DELETE", f"{path}/{made['metadata']['name']}", {"propagationPolicy": "Background"})
    assert kubelet.errors == []


def _addresses(control_plane: ControlPlane) -> set[str]:
    """Return the pods behind the headless Service."""
    path = f"/api/v1/namespaces/{NAMESPACE}/endpoints/lipserve-headless"
    return {
        address["targetRef"]["name"]
        for subset in control_plane.api("GET", path).get("subsets", [])
        for address in subset.get("addresses", [])
    }


def test_a_release_is_operated(
    operate: Callable[..., tuple[int, str, str]],
    control_plane: ControlPlane,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = json.loads(operate("status", "--json")[1])
    assert (told["wanted"], told["ready"], told["notes"]) == (2, 2, [])
    assert all(pod["pending"] == 0 and pod["gpu"] == "NVIDIA-A100-SXM4-80GB" for pod in told["pods"])
    names = {pod["name"] for pod in told["pods"]}
    assert _addresses(control_plane) == names

    seen: list[tuple[set[str], int]] = []
    read = metrics.read

    def watched(cluster: Any, pod: Any) -> Any:
        pods = control_plane.api("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
        components = [pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods]
        seen.append((_addresses(control_plane), components.count("server")))
        return read(cluster, pod)

    with monkeypatch.context() as patched:
        patched.setattr("lipserve_ops.drain.metrics.read", watched)
        gone = min(names)
        code, out, err = operate("drain", gone, "--settle", "3")
    assert (code, out) == (0, f"{gone} is drained and gone.\n"), err
    assert seen[-1] == (names - {gone}, 2)  # out of the endpoints, and not replaced as long as it worked

    for _ in range(2):  # the first may follow the chart's own
        code, out, err = operate("build-engines")
        assert code == 0, err
        assert "export: export at work" in out
        assert out.splitlines()[-1].endswith("is done.")
    jobs = control_plane.api("GET", PATHS["Job"].format(NAMESPACE))["items"]
    assert len(jobs) >= 2

    code, out, err = operate("smoke")
    assert code == 0, (out, err)
    code, _, err = operate("drain", "lipserve-none")
    assert (code, "There is no pod lipserve-none" in err) == (5, True)
