"""Jobs as the chart installs them, on this machine: its own NATS, a gateway, a worker, all real processes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipserve_client._jobs import Jobs
from tests.cluster.proxy import only
from tests.support.gateways import write_tenants
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.processes import Program

HOST = "127.0.0.1"
LIPSERVE = Path(sys.executable).parent / "lipserve"
VALUES: dict[str, Any] = {
    "profile": "embedded",
    "autoscaling": {"prometheus": {"url": "http://prometheus:9090"}},
    "jobs": {
        "enabled": True,
        "gateway": {"replicas": 1},
        "worker": {"autoscaling": {"mode": "keda"}},
        "nats": {"replicas": 1},
        "store": {"bucket": "films", "existingSecret": "films"},
        "tenants": {"existingSecret": "tenants"},
    },
}


@dataclass(frozen=True)
class Service:
    """A gateway that runs, and a worker that can be started.

    Attributes:
        api: address of the gateway. pages: addresses of the metrics of both.
    """

    api: str
    pages: dict[str, str]
    _worker: tuple[str | Path, ...]
    _running: contextlib.ExitStack

    def client(self) -> Jobs:
        return Jobs(self.api, key="key-studio")

    def start_worker(self) -> None:
        self._running.callback(Program(self._worker).close)


def configured(objects: list[dict[str, Any]], folder: Path) -> NatsServer:
    """Return a server, not started yet, of one replica as the chart's objects configure it."""
    text: str = only(objects, "ConfigMap", "lipserve-jobs-nats")["data"]["nats.conf"]
    text = text.replace("/run/nats", str(folder)).replace("0.0.0.0:8222", f"{HOST}:{free_port(HOST)}")
    text = text.replace('store_dir: "/data"', "")  # an argument of the server names another
    folder.mkdir(parents=True)
    (folder / "nats.conf").write_text(text.replace("$POD_NAME", "nats-0"))
    return NatsServer(folder, ("--config", str(folder / "nats.conf")))


@contextlib.contextmanager
def running(objects: list[dict[str, Any]], folder: Path, url: str) -> Iterator[Service]:
    """Run NATS and a gateway, and give a worker that has `url` make pieces; a folder is their S3."""
    ports = {name: free_port(HOST) for name in ("api", "gateway", "worker")}
    tenants = write_tenants(folder / "tenants.yaml", studio={"price_per_hour": 3.6})
    with contextlib.ExitStack() as stack:
        nats = stack.enter_context(configured(objects, folder / "nats"))
        shared = ("--nats", nats.url, "--store", folder / "store", "--tenants", tenants)
        api = ("--port", str(ports["api"]), "--metrics-port", str(ports["gateway"]))
        work = ("--url", url, "--scratch", folder / "scratch", "--metrics-port", str(ports["worker"]))
        stack.callback(Program((LIPSERVE, "jobs", "gateway", *api, *shared)).close)
        pages = {name: f"{HOST}:{ports[name]}" for name in ("gateway", "worker")}
        worker = (LIPSERVE, "jobs", "worker", *work, *shared)
        yield Service(f"http://{HOST}:{ports['api']}", pages, worker, stack)
