"""Every object that the chart renders is valid, strictly, on every Kubernetes from 1.29 to the newest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.scenarios import load

CHART = Path(__file__).resolve().parents[3] / "helm/lipserve"
kubernetes_validate = pytest.importorskip(
    "kubernetes_validate", reason="kubernetes-validate is not installed: pip install -e '.[dev]'"
)
# Each is listed twice: strict, and not.
ALL_VERSIONS = dict.fromkeys(kubernetes_validate.utils.all_versions())
VERSIONS = [version for version in ALL_VERSIONS if int(version.split(".")[1]) >= 29]

Object = dict[str, Any]
Render = Callable[..., list[Object]]
Validate = Callable[[Object, str], None]


def test_versions_reach_from_the_charts_oldest() -> None:
    required = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"]
    assert required.startswith(f">={VERSIONS[0]}")
    assert len(VERSIONS) >= 9


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(ci_values: Object, version: str, render: Render, validate: Validate) -> None:
    refused = []
    for made in render(ci_values, kube_version=version):
        try:
            validate(made, version)
        except Exception as error:
            where = "/".join(map(str, getattr(error, "absolute_path", [])))
            refused.append(
                f"{made['kind']} {made['metadata']['name']} {where}: {getattr(error, 'message', error)}"
            )
    assert refused == []


def test_every_template_is_rendered(render_files: Callable[..., dict[str, str]]) -> None:
    templates = {f"lipserve/{path.relative_to(CHART)}" for path in CHART.glob("templates/**/*.yaml")}
    made = set()
    files_of_ci = [yaml.safe_load(path.read_text()) for path in CHART.glob("ci/*-values.yaml")]
    for values in [*files_of_ci, *(scenario.values for scenario in load())]:
        files = render_files(values)
        made |= {name for name in templates if any(yaml.safe_load_all(files.get(name, "")))}
    assert templates - made == set()


def test_ci_renders_every_custom_resource(
    render: Render, custom_resources: dict[tuple[str, str], Any]
) -> None:
    files = [yaml.safe_load(path.read_text()) for path in CHART.glob("ci/*-values.yaml")]
    kinds = {made["kind"] for values in files for made in render(values)}
    assert {kind for _, kind in custom_resources} - kinds == set()


def _service(**spec: Any) -> Object:
    ports = [{"name": "grpc", "port": 8001, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"ports": ports, **spec},
    }


def _scaled(**metadata: Any) -> Object:
    trigger = {"type": "prometheus", "metadata": {"serverAddress": "http://p", "query": "up", **metadata}}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"scaleTargetRef": {"name": "a"}, "triggers": [trigger]},
    }


@pytest.mark.parametrize("good", [_service(), _scaled(threshold="2")], ids=["built in", "custom"])
def test_good_objects_pass(good: Object, validate: Validate) -> None:
    validate(good, VERSIONS[-1])


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (_service(loadbalancerIP="10.0.0.1"), "ValidationError"),
        (_service(ports=[{"port": "8001"}]), "ValidationError"),
        (_service() | {"apiVersion": "v2"}, "SchemaNotFoundError"),
        (
            _service() | {"apiVersion": "autoscaling/v2beta2", "kind": "HorizontalPodAutoscaler"},
            "SchemaNotFoundError",
        ),
        (_service() | {"apiVersion": "traefik.io/v1alpha1", "kind": "IngressRoute"}, "SchemaNotFoundError"),
        (_scaled(threshold=2), "ValidationError"),
        (_scaled(), "ValidationError"),
        (_scaled(threshold="2") | {"status": {}}, "ValidationError"),
    ],
    ids=[
        "unknown field",
        "type",
        "unknown API",
        "removed API",
        "unlisted CRD",
        "CRD type",
        "CRD need",
        "CRD field",
    ],
)
def test_bad_objects_are_found(bad: Object, error: str, validate: Validate) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of two libraries, told apart by their names
        validate(bad, VERSIONS[-1])
    assert type(caught.value).__name__ == error
