"""`lipserve ops status`: a real pod's numbers, and pods in trouble."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from demo import portrait
from lipserve import Client
from tests.cluster.ops.conftest import Operate
from tests.cluster.ops.stand_in import Object, StandIn
from tests.support.servers import PodProgram

pytestmark = pytest.mark.serve

AddPod = Callable[..., Object]
NOT_READY = [{"type": "Ready", "status": "False"}]


def _container(**state: Any) -> list[Object]:
    known = {"name": "triton", "ready": False, "restartCount": 4, "image": "i", "imageID": "", "state": {}}
    return [known | state]


def test_a_ready_pod_has_its_node_and_its_queue(
    installed: StandIn, add_pod: AddPod, serving: PodProgram, operate: Operate
) -> None:
    installed.objects["deployments"]["lipserve"]["spec"]["replicas"] = 1
    add_pod("lipserve-a", serving)
    code, out, _ = operate("status", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["release"], told["namespace"], told["wanted"], told["ready"]) == ("lipserve", "video", 1, 1)
    (pod,) = told["pods"]
    assert (pod["state"], pod["ready"], pod["restarts"], pod["error"]) == ("Running", True, 0, "")
    assert (pod["node"], pod["gpu"]) == ("gpu-1", "NVIDIA-A100-SXM4-80GB")
    assert (pod["in_flight"], pod["pending"], pod["oldest"], pod["engine"]) == (0, 0, 0.0, "")


def test_a_queue_is_seen_as_it_grows_and_goes(
    installed: StandIn, add_pod: AddPod, serving: PodProgram, operate: Operate, short_speech: bytes
) -> None:
    installed.objects["deployments"]["lipserve"]["spec"]["replicas"] = 1
    add_pod("lipserve-a", serving)
    clip = portrait.clip(2.0, (256, 256))
    with Client(serving.url, timeout=100) as client:
        threads = [threading.Thread(target=client.dub, args=(clip, short_speech)) for _ in range(8)]
        for thread in threads:
            thread.start()
        seen = []
        while any(thread.is_alive() for thread in threads):
            (pod,) = json.loads(operate("status", "--json")[1])["pods"]
            # A pod at full load may answer too late to be read.
            seen.append([pod[name] or 0 for name in ("in_flight", "pending", "oldest")])
    assert max(flight for flight, _, _ in seen) >= 2
    assert max(pending for _, pending, _ in seen) >= 1
    assert max(oldest for _, _, oldest in seen) > 0
    (pod,) = json.loads(operate("status", "--json")[1])["pods"]
    assert pod["in_flight"] == 0


def test_every_kind_of_trouble_has_its_words(installed: StandIn, add_pod: AddPod, operate: Operate) -> None:
    ended = {"exitCode": 5, "reason": "Error", "message": "The plan of vae_decoder was built for sm90."}
    waits = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}
    pull = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "a/b:c"'}
    add_pod(
        "lipserve-crash",
        conditions=NOT_READY,
        containerStatuses=_container(state={"waiting": waits}, lastState={"terminated": ended}),
    )
    add_pod(
        "lipserve-image",
        phase="Pending",
        conditions=NOT_READY,
        containerStatuses=_container(state={"waiting": pull}),
    )
    unfit = {
        "type": "PodScheduled",
        "status": "False",
        "message": "0/3 nodes: 3 Insufficient nvidia.com/gpu.",
    }
    add_pod("lipserve-nowhere", phase="Pending", conditions=[unfit], containerStatuses=None)
    add_pod("lipserve-probe", conditions=NOT_READY)
    event = {
        "metadata": {"name": "e1"},
        "type": "Warning",
        "reason": "Unhealthy",
        "message": "Readiness probe failed: wav2lip_preprocess is dead",
        "lastTimestamp": datetime.now(UTC).isoformat(),
        "involvedObject": {"kind": "Pod", "name": "lipserve-probe"},
    }
    installed.put("events", event)
    code, out, _ = operate("status", "--json")
    assert code == 1
    pods = {pod["name"]: pod for pod in json.loads(out)["pods"]}
    told = {name: (pod["state"], pod["error"]) for name, pod in pods.items()}
    assert told["lipserve-crash"] == (
        "CrashLoopBackOff",
        "triton ended with 5 (Error): The plan of vae_decoder was built for sm90.",
    )
    assert told["lipserve-image"] == ("ImagePullBackOff", 'Back-off pulling image "a/b:c"')
    assert told["lipserve-nowhere"] == ("Unschedulable", "0/3 nodes: 3 Insufficient nvidia.com/gpu.")
    assert told["lipserve-probe"] == (
        "Running",
        "Unhealthy: Readiness probe failed: wav2lip_preprocess is dead",
    )
    assert pods["lipserve-crash"]["restarts"] == 4
    assert pods["lipserve-probe"]["pending"] is None


def test_the_table_and_what_may_not_be_seen(
    installed: StandIn, add_pod: AddPod, serving: PodProgram, operate: Operate
) -> None:
    add_pod("lipserve-a", serving)
    add_pod("lipserve-b", conditions=NOT_READY)
    installed.forbidden |= {("list", "events"), ("get", "nodes")}
    code, out, _ = operate("status")
    assert code == 1
    head, titles, first, second = out.splitlines()[:4]
    assert head == "lipserve in video: 1 of 2 ready"
    assert titles.split()[:3] == ["pod", "state", "node"]
    assert first.split()[:3] == ["lipserve-a", "Running", "gpu-1"]
    assert second.split()[:4] == ["lipserve-b", "Running,", "not", "ready"]
    assert "lipserve-b does not answer on port 8080" in " ".join(out.split())
    assert "olga may not list events in the namespace video" in out
    assert "olga may not get nodes" in out
    assert "cluster" not in first


def test_watch_ends_on_ctrl_c(
    installed: StandIn, add_pod: AddPod, operate: Operate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add_pod("lipserve-a", phase="Pending")
    looks = 0

    def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        assert seconds == 0.5
        if looks == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("lipserve_ops.status.time.sleep", sleep)
    code, out, _ = operate("status", "--watch", "--interval", "0.5")
    assert (code, looks) == (0, 3)
    assert "lipserve-a" in out
