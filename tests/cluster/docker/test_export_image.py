"""The export image, built by a real engine and run as the Job of the chart runs it, without a GPU.

Its base has no TensorRT, which no package index gives: TensorRT for RTX plays its part, and builds what can
be built for a GPU that is not here. What a CPU cannot make is a plan that TensorRT serves.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lipserve.contracts import leaves_of
from tests.cluster.docker import bases, engine
from tests.cluster.docker.chroot import CHECKOUT
from tests.cluster.docker.engine import Engine

pytestmark = [pytest.mark.whole, pytest.mark.timeout(3600)]

VALUES: dict[str, Any] = {
    "profile": "tensorrt",
    "accelerator": {"kind": "gpu", "product": ["NVIDIA-A100-SXM4-80GB"]},
    "store": {"export": {"enabled": True}},
    "engines": {"build": {"image": {"registry": "localhost", "tag": "built"}}},
    "tests": {"enabled": False},
}
NO_GPU = "The NVIDIA driver is missing, or finds no GPU. Build on the GPU that will serve"


@pytest.fixture(scope="module")
def job(podman: Engine, render: Callable[..., list[dict[str, Any]]]) -> dict[str, Any]:
    """The pod of the chart's Job, whose image is built."""
    (made,) = (found for found in render(VALUES) if found["kind"] == "Job")
    spec: dict[str, Any] = made["spec"]["template"]["spec"]
    bases.add_exporter(podman)
    image = engine.container(spec, "export")["image"]
    assert image == engine.container(spec, "engines")["image"]
    podman.build(CHECKOUT / "docker/export.Dockerfile", image, **bases.EXPORT_ARGUMENTS)
    return spec


def test_the_job_exports_and_tells_that_there_is_no_gpu(
    podman: Engine, job: dict[str, Any], exported: Path, tmp_path: Path
) -> None:
    """Without a network, on a read-only root: the graphs are those of this machine, to the byte."""
    store = tmp_path / "models"
    store.mkdir()
    store.chmod(0o777)
    with engine.empty_dirs(job, tmp_path) as folders:

        def step(name: str, *more: str) -> tuple[int, str]:
            found = engine.container(job, name)
            options = [*engine.hardened(job, name, folders | {"models": store}), "--network=none", "--rm"]
            entry = [f"--entrypoint={json.dumps(found['command'])}"]
            done = podman.run("run", *options, *entry, found["image"], *more, check=False)
            return done.returncode, done.stdout + done.stderr

        code, told = step("export")
        assert code == 0, told[-3000:]
        for leaf in leaves_of("lipwarp"):
            made, own = (root / leaf.name / "1" for root in (store, exported))
            assert (made / "manifest.json").read_bytes() == (own / "manifest.json").read_bytes()
            assert (made / "model.fp16.onnx").read_bytes() == (own / "model.fp16.onnx").read_bytes()
        code, told = step("engines")
        assert (code, NO_GPU in told, "Traceback" in told) == (5, True, False), told[-3000:]
        code, told = step("engines", "--target=sm80")
        assert code == 0, told[-3000:]
    plans = {path.parent.name for path in store.glob("engines/sm80-rtx*/*/check.plan")}
    assert plans >= {leaf.name for leaf in leaves_of("lipwarp")}


def test_the_exporter_says_what_it_can(podman: Engine, job: dict[str, Any]) -> None:
    image = engine.container(job, "export")["image"]
    hard = ["--rm", "--network=none", "--read-only", "--cap-drop=all"]
    told = podman.run("run", *hard, image, "--help").stdout
    assert {"all", "faces", "wav2lip", "lipwarp", "engines", "fetch", "verify"} <= set(
        told.replace(",", " ").split()
    )
