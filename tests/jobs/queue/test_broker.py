"""The connection to NATS."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lipserve.errors import ConnectError
from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from tests.support.nats import NatsServer, three_servers
from tests.support.ports import free_port


def test_streams_are_made_once_and_get_new_settings(nats: NatsServer) -> None:
    async def test() -> None:
        for _ in range(2):
            broker = await Broker.open(BrokerOptions(nats.url))
            await broker.close()
        broker = await Broker.open(BrokerOptions(nats.url))
        config = (await broker.js.stream_info(names.WORK)).config
        await broker.js.update_stream(config.evolve(duplicate_window=60.0))
        await broker.close()
        broker = await Broker.open(BrokerOptions(nats.url))
        assert (await broker.js.stream_info(names.WORK)).config.duplicate_window == 120.0
        await broker.close()

    asyncio.run(test())


def test_servers_that_are_too_few_for_the_copies_are_waited_for(tmp_path: Path) -> None:
    async def test(url: str) -> None:
        with pytest.raises(ConnectError, match="NATS does not answer"):
            await Broker.open(BrokerOptions(url, replicas=3, patience=1.0))

    with NatsServer(tmp_path) as alone:
        asyncio.run(test(alone.url))


def test_a_server_that_is_away_is_told_with_its_address() -> None:
    url = f"nats://127.0.0.1:{free_port('127.0.0.1')}"
    with pytest.raises(ConnectError, match="does not answer"):
        asyncio.run(Broker.open(BrokerOptions(url, patience=0.5)))


def test_of_many_who_create_a_key_one_has_it(tmp_path: Path) -> None:
    async def test(url: str) -> None:
        brokers = [await Broker.open(BrokerOptions(url, replicas=3)) for _ in range(3)]
        for number in range(10):
            made = await asyncio.gather(
                *(broker.create(names.LOCKS, f"key-{number}", b"mine") for broker in brokers * 3)
            )
            assert sum(revision is not None for revision in made) == 1
        for broker in brokers:
            await broker.close()

    with three_servers(tmp_path) as servers:
        asyncio.run(test(",".join(server.url for server in servers)))
