"""A real gateway for the tests of one file, and small clips."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from lipserve import Jobs, audio
from lipserve.contracts import SAMPLE_RATE
from lipserve.files.picture import Colour, Picture
from tests.support.local_service import LocalService
from tests.support.media import encode
from tests.support.nats import NatsServer


@pytest.fixture(scope="module")
def gateway(nats: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    with LocalService(nats.url, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def jobs(gateway: LocalService) -> Jobs:
    return Jobs(gateway.url, timeout=120)


@pytest.fixture(scope="session")
def video() -> bytes:
    """Twelve grey pictures, 64 x 48, at 25 frames a second."""
    luma, chroma = np.full((48, 64), 128, np.uint8), np.full((24, 32), 128, np.uint8)
    return encode([Picture(luma, chroma, chroma, Colour())] * 12)


@pytest.fixture(scope="session")
def speech() -> bytes:
    """Half a second of silence."""
    return audio.wav(np.zeros(SAMPLE_RATE // 2, np.float32))
