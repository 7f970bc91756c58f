"""The values files of the docs: rendered, and valid on every Kubernetes that the chart is for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "docs/examples").glob("*-values.yaml"))

Object = dict[str, Any]
Find = Callable[..., Object]
Render = Callable[..., list[Object]]


def test_there_is_one_for_each_kind_of_shared_memory() -> None:
    assert [path.name for path in EXAMPLES] == [
        "cuda-shared-memory-values.yaml",
        "system-shared-memory-values.yaml",
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
@pytest.mark.parametrize("version", ["1.29.0", "1.37.0"])
def test_an_example_is_valid(render: Render, path: Path, version: str) -> None:
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed: pip install -e '.[dev]'"
    )
    objects = render(yaml.safe_load(path.read_text()), kube_version=version)
    assert len(objects) >= 5
    for made in objects:
        kubernetes_validate.validate(made, version, strict=True)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_client_and_triton_share_memory_and_nobody_else_calls(
    render: Render, server_pod: Find, path: Path
) -> None:
    values = yaml.safe_load(path.read_text())
    spec = server_pod(values)
    triton, client = spec["containers"]
    assert client["securityContext"] == triton["securityContext"]
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "shm"]
    assert volume["emptyDir"]["medium"] == "Memory"
    for container in (triton, client):
        (mount,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/dev/shm"]
        assert mount["name"] == "shm"
    assert "--shared-memory=open" in triton["args"]
    for made in render(values):
        ports = [port["name"] for port in made["spec"].get("ports", [])] if made["kind"] == "Service" else []
        assert "grpc" not in ports


def test_a_client_of_cuda_memory_sees_tritons_processes_and_asks_for_no_gpu(server_pod: Find) -> None:
    spec = server_pod(yaml.safe_load((ROOT / "docs/examples/cuda-shared-memory-values.yaml").read_text()))
    triton, client = spec["containers"]
    assert spec["shareProcessNamespace"] is True
    assert triton["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in client["resources"]["limits"]
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"} in client["env"]
