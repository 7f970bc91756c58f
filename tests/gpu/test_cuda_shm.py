"""CUDA shared memory with a real GPU and a real server; its logic alone is in tests/unit/client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lipserve import Client, SetupError
from lipserve_server.launcher.embedded import EmbeddedServer

pytestmark = [pytest.mark.gpu, pytest.mark.serve]

REPOSITORY = Path(__file__).resolve().parents[2] / "build" / "model_repository"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    try:
        Client(shm="cuda").close()
    except SetupError as error:
        pytest.skip(f"needs the extra lipserve[cuda]: {error.message}")
    from cuda.bindings import runtime  # what tritonclient's CUDA memory stands on

    status, count = runtime.cudaGetDeviceCount()
    if status != runtime.cudaError_t.cudaSuccess or count == 0:
        pytest.skip("needs an NVIDIA GPU")
    if not REPOSITORY.is_dir():
        pytest.skip("needs build/model_repository: make test exports it")
    with EmbeddedServer(REPOSITORY, 0, 0) as server:
        yield server.url


def test_crops_in_gpu_memory_equal_those_in_messages(url: str) -> None:
    faces = np.random.default_rng(11).integers(0, 256, (40, 96, 96, 3), dtype=np.uint8)
    speech = np.zeros(32000, np.float32)
    with Client(url) as plain, Client(url, shm="cuda") as shared:
        expected = plain.generate(faces, speech)
        for _ in range(3):
            assert np.array_equal(shared.generate(faces, speech), expected)
