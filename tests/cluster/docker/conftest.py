"""A container engine, and the images of servers that it builds, once a run, for the tests that need them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.docker import bases, engine
from tests.cluster.docker.chroot import CHECKOUT
from tests.cluster.docker.engine import Built, Engine
from tests.cluster.proxy import only

Render = Callable[..., list[dict[str, Any]]]

# As NVIDIA's image has it: DALI's packages, with a NumPy of their own that the stages must not see.
DALI = {"numpy/__init__.py": "raise ImportError('of the base')"}


@pytest.fixture(scope="session")
def podman() -> Iterator[Engine]:
    """An engine that can run a container; skips with the reason where none can."""
    started = engine.start()
    try:
        bases.add_python(started)
        yield started
    finally:
        started.end()


@pytest.fixture(scope="session")
def dev_image(podman: Engine, render: Render) -> Built:
    """The development image, and the chart's pod of the profile embedded."""
    return _build(podman, render, "dev", "embedded")


@pytest.fixture(scope="session")
def server_image(podman: Engine, render: Render) -> Built:
    """The server image on a base with a real Triton, and the chart's pod of the profile onnx."""
    bases.add_triton(podman, DALI)
    return _build(podman, render, "server", "onnx")


def _build(podman: Engine, render: Render, name: str, profile: str) -> Built:
    values = {
        "profile": profile,
        "image": {"registry": "localhost", "repository": f"lipserve-{name}", "tag": "0.1.0"},
        "resources": {"requests": {"cpu": "2"}},
        "lifecycle": {"longestSegmentSeconds": 20, "preStopSeconds": 5},
        "tests": {"enabled": False},
    }
    spec = only(render(values), "Deployment", "lipserve")["spec"]["template"]["spec"]
    built = Built(engine.container(spec, "triton")["image"], spec)
    podman.build(CHECKOUT / f"docker/{name}.Dockerfile", built.name)
    return built
