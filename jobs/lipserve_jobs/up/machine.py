"""`lipserve jobs up`: the whole service on one machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from lipserve.errors import ConnectError, SetupError
from lipserve_jobs.up.children import Child, running
from lipserve_jobs.up.nats import prepare

_READY_SECONDS = 180.0


@dataclass(frozen=True)
class Machine:
    """How the service runs here.

    Attributes:
        folder: everything that lasts lies in it.
        host, port: of the page and the API.
        servers: addresses of Triton servers; empty: an embedded one is started, with `repository`.
        tenants: file of tenants; None: whoever reaches the port is the tenant `local`.
        webhook_secret: file with the secret that signs webhooks. private: whether files and webhooks may have
            addresses inside this network.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8080
    servers: tuple[str, ...] = ()
    repository: Path = Path("build/model_repository")
    tenants: Path | None = None
    places: int = 3
    keep_days: float = 30.0
    webhook_secret: Path | None = None
    private: bool = False

    @property
    def page(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"


async def up(machine: Machine, ready: Callable[[str], None]) -> None:
    """Run everything, and call `ready` with the page's address once it answers.

    Raises:
        SetupError: a port is taken, a repository is missing. ConnectError: it does not become ready.
    """
    _check_port(machine.host, machine.port)
    children = _children(machine)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    async with running(children):
        until = asyncio.create_task(told.wait())
        starting = asyncio.create_task(_answers(machine, children))
        await asyncio.wait({until, starting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            ready(machine.page)
            await until
        starting.cancel()


def _children(machine: Machine) -> list[Child]:
    folder = machine.folder.absolute()
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    nats_port, grpc_port, metrics_port = _free_ports(3)
    nats = prepare(folder / "nats", nats_port)
    url = ",".join(machine.servers) or f"127.0.0.1:{grpc_port}"
    environment = {
        **os.environ,
        "LIPSERVE_JOBS_NATS": nats.url,
        "LIPSERVE_JOBS_STORE": str(folder / "store"),
        "LIPSERVE_JOBS_SCRATCH": str(folder / "scratch"),
        "LIPSERVE_JOBS_KEEP_DAYS": f"{machine.keep_days:g}",
        "LIPSERVE_JOBS_PLACES": str(machine.places),
        "LIPSERVE_URL": url,
    }
    if machine.tenants is not None:
        environment["LIPSERVE_JOBS_TENANTS"] = str(machine.tenants.absolute())
    if machine.webhook_secret is not None:
        environment["LIPSERVE_JOBS_WEBHOOK_SECRET_FILE"] = str(machine.webhook_secret.absolute())
    environment["LIPSERVE_JOBS_ALLOW_PRIVATE_ADDRESSES"] = "true" if machine.private else "false"
    lipserve = (sys.executable, "-m", "lipserve_cli")

    def child(name: str, *command: str, patience: float = 30.0) -> Child:
        return Child(name, command, environment, logs / f"{name}.log", patience)

    found = [child("nats", *nats.command)]
    if not machine.servers:
        if not (machine.repository / "lipwarp").exists():
            raise SetupError(
                f"There is no model repository at {machine.repository}.",
                "Make it: lipserve export all -o DIR, and name it with --repository DIR.",
            )
        ports = ("--grpc-port", str(grpc_port), "--metrics-port", str(metrics_port))
        repository = ("--repository", str(machine.repository))
        found.append(child("triton", *lipserve, "serve", *repository, *ports, patience=60))
    found.append(child("worker", *lipserve, "jobs", "worker", patience=70))
    address = ("--host", machine.host, "--port", str(machine.port))
    found.append(child("gateway", *lipserve, "jobs", "gateway", *address))
    return found


async def _answers(machine: Machine, children: list[Child]) -> None:
    """Wait until the gateway is ready, and Triton."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _READY_SECONDS
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        while True:
            try:
                if (await client.get(f"{machine.page}readyz")).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            dying = next((child for child in children if child.starts > 3), None)
            if dying is not None or loop.time() > end:
                name = dying.name if dying else "the service"
                raise ConnectError(
                    f"{name} does not become ready.", f"Look at the logs in {children[0].log.parent}."
                )
            await asyncio.sleep(0.1)


def _check_port(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        raise SetupError(
            f"Port {port} of {host} cannot be used ({error.strerror}).", "Give another one with --port."
        ) from error


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
