"""A release's life on a real API server: install, upgrade, refusal, rollback, test, uninstall, with Helm 4.

An API server older than the chart's kubeVersion gets a copy of the chart whose API versions are mapped to its
own: what Helm and the server do together is proved then, and not the versions that the chart asks for.
"""

from __future__ import annotations

import re
import shutil
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet

helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed: pip install -e '.[dev]'")

CHART = Path(__file__).resolve().parents[2] / "helm/lipserve"
OLDEST = (1, 29)
NAMESPACE = "talking"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/lipserve"
# What a server from before the chart's oldest calls differently, or does not know.
MAPPED = {
    r"apiVersion: policy/v1\n": "apiVersion: policy/v1beta1\n",
    r"apiVersion: autoscaling/v2\n": "apiVersion: autoscaling/v2beta2\n",
    r" *unhealthyPodEvictionPolicy: .*\n": "",
    r" *matchLabelKeys: .*\n": "",
    r"  podFailurePolicy:\n(    .*\n)+": "",
}


@pytest.fixture(params=["chart", "chart_with_mapped_api_versions"])
def served_chart(request: pytest.FixtureRequest, control_plane: ControlPlane, tmp_path: Path) -> Path:
    """The chart, or a copy with mapped API versions for a server that is too old; the other one skips."""
    major, minor = control_plane.version
    if request.param == "chart":
        if control_plane.version < OLDEST:
            pytest.skip(f"the API server is Kubernetes {major}.{minor}, and the chart asks for 1.29")
        return CHART
    if control_plane.version >= OLDEST:
        pytest.skip(f"Kubernetes {major}.{minor} knows the chart's API versions")
    return _mapped(tmp_path / "lipserve")


def _mapped(copy: Path) -> Path:
    shutil.copytree(CHART, copy)
    metadata = copy / "Chart.yaml"
    metadata.write_text(re.sub(r"kubeVersion:.*\n", "", metadata.read_text()))
    for template in copy.glob("templates/**/*"):
        if template.is_file():
            text = template.read_text()
            for pattern, replacement in MAPPED.items():
                text = re.sub(pattern, replacement, text)
            template.write_text(text)
    return copy


@pytest.fixture
def release(control_plane: ControlPlane, kubelet: Kubelet, served_chart: Path) -> Iterator[Any]:
    """Helm's actions on the cluster, with the release `lipserve` installed and every pod of it ready."""
    options = {"create_namespace": True, "wait": "watcher", "timeout": 60}
    with helm.Config(kubeconfig_path=control_plane.kubeconfig, namespace=NAMESPACE) as config:
        try:
            config.install(served_chart, "lipserve", _values(2), **options)
            yield config
        finally:
            config.uninstall("lipserve", wait="watcher", timeout=60, ignore_not_found=True)
    assert kubelet.errors == []


def _values(replicas: Any) -> dict[str, Any]:
    return {"replicas": replicas, "store": {"pvc": {"accessModes": ["ReadWriteMany"]}}}


def _revisions(config: Any) -> list[tuple[int, str]]:
    return [(entry["revision"], entry["status"]) for entry in config.history("lipserve")]


def _ready(control_plane: ControlPlane) -> int:
    count: int = control_plane.api("GET", DEPLOYMENT)["status"].get("readyReplicas", 0)
    return count


def test_a_release_lives(release: Any, control_plane: ControlPlane, served_chart: Path) -> None:
    assert _ready(control_plane) == 2

    release.upgrade(served_chart, "lipserve", _values(3), wait="watcher", timeout=60)
    assert _ready(control_plane) == 3

    with pytest.raises(helm.HelmError, match="replicas"):
        release.upgrade(served_chart, "lipserve", _values("many"))
    assert _revisions(release) == [(1, "superseded"), (2, "deployed")]

    release.rollback("lipserve", version=1, wait="watcher", timeout=60)
    assert _ready(control_plane) == 2
    assert _revisions(release)[-1] == (3, "deployed")

    release.test("lipserve", timeout=60)

    release.uninstall("lipserve", wait="watcher", timeout=60)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        control_plane.api("GET", DEPLOYMENT)
    # Engines take hours to build: what holds them stays.
    claims = control_plane.api("GET", f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims")["items"]
    assert [claim["metadata"]["name"] for claim in claims] == ["lipserve-models"]


def test_an_upgrade_that_does_not_get_ready_is_taken_back(
    release: Any, control_plane: ControlPlane, kubelet: Kubelet, served_chart: Path
) -> None:
    kubelet.broken = ":broken"
    values = _values(2) | {"image": {"tag": "broken"}}
    with pytest.raises(helm.HelmError):
        release.upgrade(served_chart, "lipserve", values, wait="watcher", timeout=8, rollback_on_failure=True)
    assert [status for _, status in _revisions(release)] == ["superseded", "failed", "deployed"]
    image = control_plane.api("GET", DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["image"]
    assert not image.endswith(":broken")
    assert _ready(control_plane) >= 1


def test_a_changed_build_is_another_job_and_the_same_one_is_left_alone(
    release: Any, control_plane: ControlPlane, served_chart: Path
) -> None:
    def jobs(**changes: Any) -> dict[str, str]:
        values = _values(1)
        values["store"] |= {"export": {"enabled": True}} | changes
        release.upgrade(served_chart, "lipserve", values, wait="watcher", timeout=60)
        made = control_plane.api("GET", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")["items"]
        kept = [job["metadata"] for job in made if not job["metadata"].get("deletionTimestamp")]
        return {job["name"]: job["uid"] for job in kept}

    first = jobs()
    assert len(first) == 1
    assert jobs() == first  # not run again
    second = jobs(revision="2")  # Kubernetes would refuse a change of the first
    assert len(second) == 1
    assert second.keys() != first.keys()
    again = jobs(revision="1")  # a rollback finds what it has built; its Job is made anew, and looks
    assert again.keys() == first.keys()
