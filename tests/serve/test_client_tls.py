"""TLS as Triton itself speaks it: its own mutual-TLS flags, certificates made for the test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lipserve import TLS, Client, ConnectError
from lipserve_server.launcher.addresses import HOST
from tests.support import certificates
from tests.support.ports import free_port
from tests.support.servers import PlainTriton

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


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = certificates.write(tmp_path_factory.mktemp("tls"))
    flags = [
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={folder / 'server.pem'}",
        f"--grpc-server-key={folder / 'server.key'}",
        f"--grpc-root-cert={folder / 'ca.pem'}",
    ]
    found = Secured(f"{HOST}:{free_port(HOST)}", folder)
    running = PlainTriton(folder, "wav2lip_generate", CONFIG, MODEL, found.url, *flags)

    def answers() -> bool:
        with Client(found.url, tls=found.tls()) as client:
            return all(health.ok for health in client.health())

    try:
        running.wait(answers)
        yield found
    finally:
        running.close()


def test_mutual_tls(secured: Secured) -> None:
    with Client(secured.url, tls=secured.tls()) as client:
        assert np.array_equal(client.generate(FACES, SPEECH), 255 - FACES)


@pytest.mark.parametrize("who", ["plain text", "no certificate", "stranger"])
def test_a_client_without_a_known_certificate_is_refused_before_the_deadline(
    secured: Secured, who: str
) -> None:
    tls = {
        "plain text": None,
        "no certificate": TLS(secured.folder / "ca.pem"),
        "stranger": secured.tls("stranger"),
    }[who]

    # A refusal is a ConnectError; who waited for the deadline would be told so.
    with Client(secured.url, tls=tls, retries=0, timeout=60) as client, pytest.raises(ConnectError):
        client.generate(FACES, SPEECH)
