"""TLS as Triton itself speaks it: its own mutual-TLS flags, certificates made for the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import trustme

from lipserve import TLS, Client, ConnectError
from lipserve_server.inside import shm
from lipserve_server.launcher import triton
from lipserve_server.launcher.addresses import HOST

from .conftest import promptly

pytestmark = pytest.mark.serve

FACES = np.arange(3 * 8 * 8 * 3, dtype=np.uint8).reshape(3, 8, 8, 3)
SPEECH = np.zeros(1600, np.float32)

# The smallest model of the stage's form: what is tested here is the way to it.
CONFIG = """
backend: "python"
input [
  { name: "FACES" data_type: TYPE_UINT8 dims: [ -1, -1, -1, 3 ] },
  { name: "AUDIO" data_type: TYPE_FP32 dims: [ -1 ] },
  { name: "OPTIONS" data_type: TYPE_STRING dims: [ 1 ] optional: true }
]
output [ { name: "FACES" data_type: TYPE_UINT8 dims: [ -1, -1, -1, 3 ] } ]
instance_group [ { kind: KIND_CPU } ]
"""
MODEL = """
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        faces = [pb.get_input_tensor_by_name(request, "FACES").as_numpy() for request in requests]
        return [pb.InferenceResponse([pb.Tensor("FACES", 255 - crops)]) for crops in faces]
"""


@dataclass
class Secured:
    url: str
    folder: Path

    def tls(self, client: str = "client") -> TLS:
        return TLS(self.folder / "ca.pem", self.folder / f"{client}.pem", self.folder / f"{client}.key")


def _certificates(folder: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    owners = {"server": (authority, "127.0.0.1"), "client": (authority, "client@x.test")}
    for name, (ca, identity) in {**owners, "stranger": (other, "stranger@x.test")}.items():
        issued = ca.issue_cert(identity)
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        (folder / f"{name}.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind((HOST, 0))
        two.bind((HOST, 0))
        return one.getsockname()[1], two.getsockname()[1]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    _certificates(folder)
    model = folder / "repository" / "wav2lip_generate"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(CONFIG)
    (model / "1" / "model.py").write_text(MODEL)
    installation = triton.find()
    grpc_port, metrics_port = _free_ports()
    prefix = shm.new_prefix()
    command = [
        str(installation.binary),
        f"--model-repository={model.parent}",
        f"--backend-directory={installation.link_backend(folder)}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        "--allow-http=false",
        f"--grpc-address={HOST}",
        f"--grpc-port={grpc_port}",
        f"--metrics-address={HOST}",
        f"--metrics-port={metrics_port}",
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={folder / 'server.pem'}",
        f"--grpc-server-key={folder / 'server.key'}",
        f"--grpc-root-cert={folder / 'ca.pem'}",
    ]
    process = triton.start(command, os.getpid(), os.environ)
    log: list[str] = []
    pump = threading.Thread(target=lambda: log.extend(process.stdout or ()))
    pump.start()
    found = Secured(f"{HOST}:{grpc_port}", folder)
    try:
        _wait(found, process, log)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            process.kill()
            pump.join()
            assert process.stdout is not None
            process.stdout.close()
            shm.sweep(prefix)


def _wait(secured: Secured, process: subprocess.Popen[str], log: list[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with Client(secured.url, tls=secured.tls()) as client:
            if all(health.ok for health in client.health()):
                return
        time.sleep(0.2)
    raise AssertionError("".join(log[-20:]))


def test_mutual_tls(secured: Secured) -> None:
    with Client(secured.url, tls=secured.tls()) as client:
        assert np.array_equal(client.generate(FACES, SPEECH), 255 - FACES)


@pytest.mark.parametrize("who", ["plain text", "no certificate", "stranger"])
def test_who_is_not_known_is_refused_soon(secured: Secured, who: str) -> None:
    tls = {
        "plain text": None,
        "no certificate": TLS(secured.folder / "ca.pem"),
        "stranger": secured.tls("stranger"),
    }[who]

    def ask() -> None:
        with Client(secured.url, tls=tls, retries=0) as client, pytest.raises(ConnectError):
            client.generate(FACES, SPEECH)

    promptly(ask)
