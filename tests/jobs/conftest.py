"""What jobs stand on: a real NATS server, and a real server of the S3 protocol."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nats import NatsServer
from tests.support.s3 import ENVIRONMENT, S3Server


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A NATS server of the tests of one file."""
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server with the bucket `lipserve`, whose keys the environment has."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with S3Server(tmp_path / "s3", "lipserve") as server:
        yield server
