"""The chart, rendered by the real Helm 4 engine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.control_plane import PROGRAMS, ControlPlane
from tests.cluster.kubelet import Kubelet

CHART = Path(__file__).resolve().parents[2] / "helm/lipserve"
NAMESPACE = "lipserve"

# libyaml's is ten times as fast, where PyYAML was built with it.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Values = dict[str, Any]
Object = dict[str, Any]


@pytest.fixture(scope="session")
def chart() -> Iterator[Any]:
    """The chart, loaded once; Helm's own Python binding."""
    helm = pytest.importorskip(
        "helm_python", reason="helm-python-sdk is not installed: pip install -e '.[dev]'"
    )
    with helm.Chart.load(CHART) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def render_files(chart: Any) -> Callable[..., dict[str, str]]:
    """Return what the templates of the chart give for `values`, by the template's path; NOTES.txt among them.

    `kube_version` ("1.29.0") is what .Capabilities tells; Helm's own default is newer than 1.30.
    """
    from helm_python import _native

    def rendered(
        values: Values, namespace: str = NAMESPACE, kube_version: str | None = None
    ) -> dict[str, str]:
        options = {"name": "lipserve", "namespace": namespace}
        if kube_version:
            options["kube_version"] = f"v{kube_version}"
        # Chart.render passes no kube_version on; the library behind it takes one.
        text = _native.call_string("helm_render", chart._raw(), json.dumps(values), json.dumps(options))
        files: dict[str, str] = json.loads(text)
        return files

    return rendered


@pytest.fixture(scope="session")
def render(render_files: Callable[..., dict[str, str]]) -> Callable[..., list[Object]]:
    """Return every object that the chart makes of `values`, hooks included, in their templates' order."""

    def rendered(values: Values, namespace: str = NAMESPACE, kube_version: str | None = None) -> list[Object]:
        files = render_files(values, namespace, kube_version)
        texts = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
        return [made for text in texts for made in yaml.load_all(text, Loader) if made]

    return rendered


@pytest.fixture(scope="session")
def render_error(render_files: Callable[..., dict[str, str]]) -> Callable[[Values], str]:
    """Return the message that the chart refuses `values` with; the test fails where it does not."""
    from helm_python.errors import HelmError

    def refused(values: Values) -> str:
        with pytest.raises(HelmError) as caught:
            render_files(values)
        return str(caught.value)

    return refused


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real API server with its controllers, from $KUBEBUILDER_ASSETS; skips where there is none."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets:
        pytest.skip(f"no API server: set KUBEBUILDER_ASSETS to a folder with {', '.join(PROGRAMS)}")
    if absent := [program for program in PROGRAMS if not (Path(assets) / program).is_file()]:
        pytest.skip(f"no API server: KUBEBUILDER_ASSETS lacks {', '.join(absent)}")
    with ControlPlane(Path(assets), tmp_path_factory.mktemp("control_plane")) as running:
        yield running


@pytest.fixture(scope="session")
def kubelet(control_plane: ControlPlane) -> Iterator[Kubelet]:
    """What marks the pods of `control_plane` ready."""
    with Kubelet(control_plane.api) as running:
        yield running
