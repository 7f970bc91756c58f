"""A gateway with real NATS and a folder as its store, for the tests of one file."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from lipserve_jobs.gateway.settings import Settings
from lipserve_jobs.queue.broker import BrokerOptions
from tests.support.gateways import Gateway, Hand, write_tenants
from tests.support.nats import NatsServer

SECRET = "whsec_" + "b3Vycw" * 8


@pytest.fixture(scope="module")
def gateway(nats: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    tenants = write_tenants(
        folder / "tenants.yaml",
        acme={"price_per_hour": 3.6, "buckets": ["films"]},
        beta={},
        small={"quota": {"jobs": 2, "upload_bytes": 1_000_000, "bytes": 3_000_000}},
        spent={"quota": {"seconds": 10}},
        listed={"fetch": [".example.com"]},
    )
    settings = Settings(BrokerOptions(nats.url, patience=10), str(folder / "store"), tenants=tenants)
    with Gateway(settings) as running:
        yield running


@pytest.fixture(scope="module")
def hand(gateway: Gateway) -> Hand:
    return Hand(gateway.settings.broker.servers, gateway.settings.store)


@pytest.fixture
def acme(gateway: Gateway) -> Iterator[httpx.Client]:
    with gateway.client("acme") as client:
        yield client


@pytest.fixture
def beta(gateway: Gateway) -> Iterator[httpx.Client]:
    with gateway.client("beta") as client:
        yield client
