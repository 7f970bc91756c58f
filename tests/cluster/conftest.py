"""The chart, rendered by the real Helm 4 engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).resolve().parents[2] / "helm/lipserve"
NAMESPACE = "lipserve"

Values = dict[str, Any]
Object = dict[str, Any]


@pytest.fixture(scope="session")
def chart() -> Iterator[Any]:
    """The chart, loaded once; Helm's own Python binding."""
    helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed: pip install -e '.[dev]'")
    with helm.Chart.load(CHART) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def render_files(chart: Any) -> Callable[..., dict[str, str]]:
    """Return what the templates of the chart give for `values`, by the template's path; NOTES.txt among them.

    `kube_version` ("1.29.0") is what .Capabilities tells; Helm's own default is newer than 1.30.
    """
    from helm_python import _native

    def rendered(values: Values, namespace: str = NAMESPACE, kube_version: str | None = None) -> dict[str, str]:
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
    """Return every object that the chart makes of `values`, hooks included, in the order of the templates' names."""

    def rendered(values: Values, namespace: str = NAMESPACE, kube_version: str | None = None) -> list[Object]:
        files = render_files(values, namespace, kube_version)
        texts = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
        return [made for text in texts for made in yaml.safe_load_all(text) if made]

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
