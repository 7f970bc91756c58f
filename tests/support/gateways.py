"""A real gateway on a port, and what a worker would do beside it."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import uvicorn
import yaml

from lipserve.contracts import TierName
from lipserve_jobs.gateway.app import create_app
from lipserve_jobs.gateway.settings import Settings
from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.tiers import Tiers
from lipserve_jobs.records import Job, Result
from lipserve_jobs.store import Keys, Store
from tests.support.ports import free_port
from tests.support.waiting import until

T = TypeVar("T")


def write_tenants(path: Path, **tenants: Mapping[str, Any]) -> Path:
    """Write a file of tenants; the key of each is `key-` and its name."""
    entries = [
        {"name": name, "keys": [hashlib.sha256(f"key-{name}".encode()).hexdigest()], **fields}
        for name, fields in tenants.items()
    ]
    path.write_text(yaml.safe_dump({"tenants": entries}))
    return path


class Gateway:
    """A gateway in a thread of this process.

    Args:
        settings: the port is one that is free.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = replace(settings, port=free_port("127.0.0.1"))
        self.app = create_app(self.settings)
        self.server = uvicorn.Server(
            uvicorn.Config(
                self.app,
                port=self.settings.port,
                loop="uvloop",
                http="httptools",
                ws="none",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=5,
            )
        )
        self._thread = threading.Thread(target=self.server.run)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self.server.started or not self._thread.is_alive(), "the gateway starts")
        assert self.server.started
        with self.client() as client:
            until(lambda: client.get("/readyz").status_code == 200, "the gateway is ready")
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self._thread.join()

    def client(self, tenant: str | None = None, **more: Any) -> httpx.Client:
        """Return a client with the key of a tenant."""
        headers = {} if tenant is None else {"Authorization": f"Bearer key-{tenant}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60, **more)


class Hand:
    """Does to jobs what a worker would."""

    def __init__(self, nats: str, store: str, endpoint: str | None = None) -> None:
        self._nats, self._store, self._endpoint = nats, store, endpoint

    def run(self, call: Callable[[Broker, Store], Awaitable[T]]) -> T:
        """Call with a connection and the store."""

        async def connected() -> T:
            broker = await Broker.open(BrokerOptions(self._nats))
            try:
                return await call(broker, Store.open(self._store, self._endpoint))
            finally:
                await broker.close()

        return asyncio.run(connected())

    def change(self, tenant: str, id: str, **fields: object) -> Job:
        """Change a record."""

        async def call(broker: Broker, store: Store) -> Job:
            job, _ = await Journal(broker).change(tenant, id, lambda now: now.changed(**fields))
            assert job is not None
            return job

        return self.run(call)

    def finish(self, tenant: str, id: str, content: bytes = b"film", **fields: object) -> Job:
        """Write a result and a report, and end the job as done."""

        async def call(broker: Broker, store: Store) -> Job:
            found = await Journal(broker).get(tenant, id)
            assert found is not None
            keys = Keys.of(found)
            await store.write(f"{keys.results}1", content)
            await store.write(keys.report, b'{"report": {"frames": 100}}')
            digest = hashlib.sha256(content).hexdigest()
            result = Result(key=f"{keys.results}1", size=len(content), sha256=digest)

            def ended(now: Job) -> Job:
                return now.ended_as("done", 3600, **{"result": result, "seconds": 4.0, **fields})

            job, _ = await Journal(broker).change(tenant, id, ended)
            assert job is not None
            return job

        return self.run(call)

    @contextmanager
    def tiers(self, *tiers: TierName) -> Iterator[None]:
        """Tell which tiers there are, as workers do; afterwards nobody has told."""

        async def tell(broker: Broker, store: Store) -> None:
            await Tiers(broker).tell(tiers)

        async def forget(broker: Broker, store: Store) -> None:
            for tier in tiers:
                await broker.bucket(names.TIERS).purge(tier)

        self.run(tell)
        try:
            yield
        finally:
            self.run(forget)

    def objects(self, prefix: str) -> list[str]:
        """Return the keys of the store below a prefix."""

        async def call(broker: Broker, store: Store) -> list[str]:
            return sorted([found.key async for found in store.list(prefix)])

        return self.run(call)
