"""A NATS that is not there, or does not know us."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lipserve.errors import ConnectError, SetupError
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from tests.support.nats import NatsServer
from tests.support.ports import free_port


def test_nobody_is_waited_for_no_longer_than_one_is_patient() -> None:
    url = f"nats://user:secret@127.0.0.1:{free_port('127.0.0.1')}"
    with pytest.raises(ConnectError, match="NATS does not answer") as caught:
        asyncio.run(Broker.open(BrokerOptions(url, patience=0.3)))
    assert "secret" not in str(caught.value)


def test_a_server_that_starts_late_is_waited_for(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)

    async def test() -> None:
        opening = asyncio.create_task(Broker.open(BrokerOptions(server.url, patience=60)))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)
        broker = await opening
        await broker.close()

    try:
        asyncio.run(test())
    finally:
        server.kill()


def test_wrong_credentials_are_told_at_once(tmp_path: Path) -> None:
    with NatsServer(tmp_path, ("--user", "us", "--pass", "secret")) as server:
        options = BrokerOptions(server.url.replace("://", "://us:other@"), patience=250)
        with pytest.raises(SetupError, match="NATS refuses us"):
            asyncio.run(Broker.open(options))
