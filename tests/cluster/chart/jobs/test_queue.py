"""NATS of the chart's own: its pods, and a configuration that the real server takes and holds to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lipserve_jobs.queue import names as queues
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from tests.cluster.monitoring import HOST
from tests.cluster.proxy import free_port
from tests.cluster.scenarios import laid
from tests.support.waiting import until

Object = dict[str, Any]
Find = Callable[..., Object]

JOBS: Object = {
    "jobs": {
        "enabled": True,
        "store": {"bucket": "films", "existingSecret": "films"},
        "tenants": {"existingSecret": "tenants"},
        "session": {"existingSecret": "session"},
    }
}
LOCKED: Object = {"jobs": {"nats": {"auth": {"existingSecret": "nats"}}}}
GIB = 1 << 30


def server() -> Path:
    """Return the real server's path."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("nats-server is not installed: pip install -e '.[dev]'")
    return Path(found)


def configuration(made: Find, values: Object) -> str:
    text: str = made("ConfigMap", "lipserve-jobs-nats", values)["data"]["nats.conf"]
    return text


def checked(text: str, folder: Path) -> str:
    """Return what the real server says of a configuration that it only reads."""
    (folder / "nats.conf").write_text(text)
    environment = os.environ | {"POD_NAME": "a", "NATS_PASSWORD": "b"}
    done = subprocess.run(
        [server(), "-t", "-c", folder / "nats.conf"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    return done.stderr


@pytest.mark.parametrize("replicas", [1, 3, 5])
@pytest.mark.parametrize("more", [{}, LOCKED, {"listenAddress": "::"}], ids=["open", "locked", "ipv6"])
def test_the_real_server_takes_the_configuration(
    made: Find, tmp_path: Path, replicas: int, more: Object
) -> None:
    text = configuration(made, laid(laid(JOBS, more), {"jobs": {"nats": {"replicas": replicas}}}))
    assert "is valid" in checked(text, tmp_path)
    routes = re.findall(r"nats-route://lipserve-jobs-nats-(\d)\.lipserve-jobs-nats\.lipserve\.svc:6222", text)
    assert routes == ([str(number) for number in range(replicas)] if replicas > 1 else [])
    assert "invalid" in checked(text.replace("sync_interval: always", "sync_interval: often"), tmp_path)


def test_the_servers_keep_to_their_disks(made: Find) -> None:
    """The account is refused before a disk is full: each server may store 85 % of its own."""
    text = configuration(made, laid(JOBS, {"jobs": {"nats": {"storage": {"size": "20Gi"}}}}))
    assert f"max_file_store: {17 * GIB}\n" in text
    assert f"max_file: {3 * 17 * GIB}\n" in text
    claims = made(
        "StatefulSet", "lipserve-jobs-nats", laid(JOBS, {"jobs": {"nats": {"storage": {"size": "20Gi"}}}})
    )
    (claim,) = claims["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"] == {"requests": {"storage": "20Gi"}}


def test_another_configuration_is_another_pod(made: Find) -> None:
    def mark(values: Object) -> str:
        pod = made("StatefulSet", "lipserve-jobs-nats", values)["spec"]["template"]["metadata"]
        text: str = pod["annotations"]["lipserve/configuration"]
        return text

    assert mark(JOBS) == mark(JOBS)
    assert mark(JOBS) != mark(laid(JOBS, LOCKED))


def test_a_majority_stays_and_a_server_leaves_in_peace(made: Find) -> None:
    assert made("PodDisruptionBudget", "lipserve-jobs-nats", JOBS)["spec"]["maxUnavailable"] == 1
    spec = made("StatefulSet", "lipserve-jobs-nats", JOBS)["spec"]
    assert spec["podManagementPolicy"] == "Parallel"
    assert made("Service", "lipserve-jobs-nats", JOBS)["spec"]["publishNotReadyAddresses"] is True
    pod = spec["template"]["spec"]
    (one,) = pod["containers"]
    hook = "nats-server --signal=ldm=/run/nats/nats.pid && sleep 1"
    assert one["lifecycle"]["preStop"]["exec"]["command"] == ["sh", "-c", hook]
    assert {mount["mountPath"] for mount in one["volumeMounts"]} == {"/etc/nats", "/run/nats", "/data"}
    duration = re.search(r"lame_duck_duration: (\d+)s", configuration(made, JOBS))
    assert duration
    assert pod["terminationGracePeriodSeconds"] > int(duration[1]) + 10


def test_a_server_of_it_serves_jobs_to_those_with_the_password_alone(made: Find, tmp_path: Path) -> None:
    """The rendered file, with ports and folders of this machine: streams, the limit, the end."""
    ports = {4222: free_port(HOST), 8222: free_port(HOST)}
    text = configuration(made, laid(laid(JOBS, LOCKED), {"jobs": {"nats": {"replicas": 1}}}))
    for inside, outside in ports.items():
        text = text.replace(str(inside), str(outside))
    text = text.replace("/run/nats", str(tmp_path)).replace('"/data"', f'"{tmp_path}/data"')
    (tmp_path / "nats.conf").write_text(text)
    environment = os.environ | {"POD_NAME": "nats-0", "NATS_PASSWORD": "a1b2"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([server(), "-c", tmp_path / "nats.conf"], stderr=log, env=environment)
    try:
        limit, streams = asyncio.run(_used(f"nats://lipserve:a1b2@{HOST}:{ports[4222]}"))
        assert limit == 8.5 * GIB
        assert streams >= {queues.WORK, queues.HOOKS, queues.DEAD, f"KV_{queues.JOBS}"}
        assert "Authorization Violation" in answer(ports[4222], '{"user": "lipserve", "pass": "a1b3"}')
        assert "Authorization Violation" in answer(ports[4222], "{}")
        assert "PONG" in answer(ports[4222], '{"user": "lipserve", "pass": "a1b2"}')
        pid = (tmp_path / "nats.pid").read_text()
        assert int(pid) == process.pid
        subprocess.run([server(), f"--signal=ldm={tmp_path}/nats.pid"], check=True, capture_output=True)
        until(lambda: "lame duck" in (tmp_path / "log").read_text().lower(), "the server begins to leave")
        process.terminate()  # as the kubelet does behind the hook: the server goes on with leaving
        until(lambda: process.poll() is not None, "the server has left")
    finally:
        process.kill()
        process.wait()


def test_three_servers_of_it_go_on_without_one(made: Find, tmp_path: Path) -> None:
    """The rendered file of three, with names and ports of this machine; one of them leaves as a pod does."""
    text = configuration(made, laid(JOBS, LOCKED))
    ports = [{inside: free_port(HOST) for inside in (4222, 6222, 8222)} for _ in range(3)]
    for number, own in enumerate(ports):
        name = f"lipserve-jobs-nats-{number}.lipserve-jobs-nats.lipserve.svc:6222"
        text = text.replace(name, f"{HOST}:{own[6222]}")
    environment = os.environ | {"NATS_PASSWORD": "a1b2"}
    processes = []
    try:
        for number, own in enumerate(ports):
            folder = tmp_path / str(number)
            folder.mkdir()
            mine = text.replace("/run/nats", str(folder)).replace('"/data"', f'"{folder}/data"')
            for inside, outside in own.items():
                mine = re.sub(rf"(port: |0\.0\.0\.0:){inside}\b", rf"\g<1>{outside}", mine)
            (folder / "nats.conf").write_text(mine)
            with (folder / "log").open("wb") as log:
                command = [server(), "-c", folder / "nats.conf"]
                named = environment | {"POD_NAME": f"nats-{number}"}
                processes.append(subprocess.Popen(command, stderr=log, env=named))
        addresses = ",".join(f"nats://lipserve:a1b2@{HOST}:{own[4222]}" for own in ports)
        until(lambda: all(_is_ready(own[8222]) for own in ports), "all are ready")
        leaves = [server(), f"--signal=ldm={tmp_path}/0/nats.pid"]
        asyncio.run(_outlived(addresses, leaves, processes[0]))
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _is_ready(port: int) -> bool:
    """Return what the startup probe would find: the server is current, and knows who leads."""
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://{HOST}:{port}/healthz", timeout=5) as answer,
    ):
        return bool(answer.status == 200)
    return False


async def _outlived(addresses: str, leaves: list[Any], leaver: subprocess.Popen[bytes]) -> None:
    broker = await Broker.open(BrokerOptions(servers=addresses, replicas=3))
    try:
        told = await broker.js.account_info()
        assert told.limits.max_storage == 3 * 8.5 * GIB
        bucket = broker.bucket(queues.JOBS)
        for number in range(20):
            await broker.lasting(lambda number=number: bucket.put(f"t.{number}", b"x" * 1000))  # type: ignore[misc]
            if number == 9:
                subprocess.run(leaves, check=True, capture_output=True)
                leaver.terminate()
        assert len(await broker.lasting(bucket.keys)) == 20
    finally:
        await broker.close()


async def _used(url: str) -> tuple[float, set[str]]:
    broker = await Broker.open(BrokerOptions(servers=url))
    try:
        told = await broker.js.account_info()
        return told.limits.max_storage, {info.config.name or "" for info in await broker.js.streams_info()}
    finally:
        await broker.close()


def answer(port: int, connect: str) -> str:
    """Return what the server answers to a client's first words."""
    with socket.create_connection((HOST, port), timeout=30) as line:
        line.sendall(f"CONNECT {connect}\r\nPING\r\n".encode())
        told = ""
        while "PONG" not in told and "-ERR" not in told:
            told += line.recv(4096).decode()
    return told
