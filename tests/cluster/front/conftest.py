"""Small real Tritons behind the chart's Envoy: one model each, and a health port that the test answers."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from tests.cluster.proxy import Names, Proxy, free_port, mount, running
from tests.support.groups import until_its_group_ends
from tests.support.servers import PlainTriton

ADDRESSES = ("127.0.0.1", "127.0.0.2")

CONFIG = """
backend: "python"
input [ { name: "X" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ -1 ] } ]
instance_group [ { kind: KIND_CPU count: 2 } ]
"""
MODEL = """
import json, os, time
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            asked = json.loads(request.parameters())
            time.sleep(float(asked.get("seconds", 0)))
            while os.path.exists(asked.get("held", "")):
                time.sleep(0.02)
            x = pb.get_input_tensor_by_name(request, "X").as_numpy()
            answers.append(pb.InferenceResponse([pb.Tensor("Y", -x)]))
        return answers
"""


class _Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = self.path == "/readyz" and self.server.ready  # type: ignore[attr-defined]
        self.send_response(200 if ready else 503)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def _health(address: str, port: int) -> http.server.ThreadingHTTPServer:
    """Return a health port that listens and is ready."""
    server = http.server.ThreadingHTTPServer((address, port), _Health)
    server.daemon_threads = True
    server.ready = True  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


class Pod(PlainTriton):
    """A Triton with the model `negate`, and its health port; `ready` is what that says."""

    def __init__(self, address: str, ports: dict[str, int], folder: Path, flags: Sequence[str] = ()) -> None:
        self.address = address
        super().__init__(folder, "negate", CONFIG, MODEL, f"{address}:{ports['grpc']}", *flags)
        self._health = _health(address, ports["health"])
        self.control = InferenceServerClient(self.url)

    @property
    def ready(self) -> bool:
        return bool(self._health.ready)  # type: ignore[attr-defined]

    @ready.setter
    def ready(self, value: bool) -> None:
        self._health.ready = value  # type: ignore[attr-defined]

    def count(self) -> int:
        """Return how many requests its model has answered."""
        statistics = self.control.get_inference_statistics("negate")
        return int(statistics.model_stats[0].inference_count)

    def close(self) -> None:
        self.control.close()
        self._health.shutdown()
        self._health.server_close()
        super().close()


@pytest.fixture(scope="session")
def ports() -> dict[str, int]:
    return {"grpc": free_port(*ADDRESSES), "health": free_port(*ADDRESSES)}


@pytest.fixture(scope="session")
def pair(ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pod, ...]]:
    """Two pods on two addresses, the same ports."""
    with until_its_group_ends("pair", contextlib.ExitStack()) as opened:
        pods = []
        for address in ADDRESSES:
            pods.append(Pod(address, ports, tmp_path_factory.mktemp("pod")))
            opened.callback(pods[-1].close)
        for pod in pods:
            pod.wait(lambda pod=pod: pod.control.is_model_ready("negate"))
        yield tuple(pods)


@pytest.fixture
def pods(pair: tuple[Pod, ...]) -> Iterator[tuple[Pod, ...]]:
    """Both pods, ready and with their model again after the test."""
    yield pair
    for pod in pair:
        pod.ready = True
        if not pod.control.is_model_ready("negate"):
            pod.control.load_model("negate")


@pytest.fixture
def names() -> Iterator[Names]:
    made = Names()
    made.addresses = list(ADDRESSES)
    yield made
    made.close()


@pytest.fixture
def proxy(
    render: Callable[..., list[dict[str, Any]]], tmp_path: Path, ports: dict[str, int], names: Names
) -> Iterator[Callable[..., Proxy]]:
    """Return what starts the chart's Envoy with `values`, the files of its Secrets in `secrets`.

    `own_ports` are those of other pods than `pods`; `exchanged` replaces texts of the bootstrap.
    """
    with contextlib.ExitStack() as started:
        numbers = itertools.count()

        def start(
            values: dict[str, Any],
            secrets: dict[str, dict[str, bytes | str]] | None = None,
            own_ports: dict[str, int] | None = None,
            exchanged: dict[str, str] | None = None,
        ) -> Proxy:
            folder = tmp_path / str(next(numbers))
            for name, files in (secrets or {}).items():
                mount(folder / "secrets" / name, files)
            own = {
                "tests": {"enabled": False},
                **values,
                "envoy": {"enabled": True} | values.get("envoy", {}),
            }
            objects = render(own)
            made = Proxy(objects, folder, own_ports or ports, names)
            for old, new in (exchanged or {}).items():
                made.bootstrap = json.loads(json.dumps(made.bootstrap).replace(f'"{old}"', f'"{new}"'))
            started.enter_context(running(made))
            return made

        yield start


@pytest.fixture
def health_port(ports: dict[str, int]) -> Iterator[Callable[[str], None]]:
    """Return what opens a pod's health port, and nothing else, on an address."""
    with contextlib.ExitStack() as opened:

        def open_at(address: str) -> None:
            server = _health(address, ports["health"])
            opened.callback(server.server_close)
            opened.callback(server.shutdown)

        yield open_at


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def pem() -> Callable[..., dict[str, bytes]]:
    """Return a certificate of `ca` as the files of a Secret."""

    def issue(ca: trustme.CA, *names: str) -> dict[str, bytes]:
        issued = ca.issue_cert(*names)
        return {
            "tls.crt": b"".join(part.bytes() for part in issued.cert_chain_pems),
            "tls.key": issued.private_key_pem.bytes(),
            "ca.crt": ca.cert_pem.bytes(),
        }

    return issue


OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ("grpc.max_receive_message_length", -1),
)


class Caller:
    """Calls through an Envoy, one connection.

    Args:
        options: of its gRPC channel. These have no retry policy: a call is tried again where no server has
            seen it (gRPC's transparent retries), and no other.
    """

    def __init__(
        self,
        url: str,
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, int | str]] = OPTIONS,
        **headers: str,
    ) -> None:
        self.client = InferenceServerClient(url, creds=credentials, channel_args=list(options))
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def infer(
        self, values: int = 4, seconds: float = 0.0, timeout: float | None = 20.0, held: Path | None = None
    ) -> str:
        """Return "" where the answer is right, else the status and the message.

        It is worked on for so many seconds, and then for as long as there is a file `held`.
        """
        x = np.arange(values, dtype=np.float32)
        tensor = InferInput("X", [values], "FP32")
        tensor.set_data_from_numpy(x)
        try:
            answer = self.client.infer(
                "negate",
                [tensor],
                headers=self.headers,
                parameters={"seconds": str(seconds), "held": str(held or "")},
                client_timeout=timeout,
            )
        except InferenceServerException as error:
            return f"{str(error.status()).removeprefix('StatusCode.')} {error.message()}"
        return "" if np.array_equal(answer.as_numpy("Y"), -x) else "a wrong answer"

    def close(self) -> None:
        self.client.close()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    """A file to hold requests with, gone after the test."""
    path = tmp_path / "held"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def caller() -> Iterator[Callable[..., Caller]]:
    with contextlib.ExitStack() as opened:

        def connect(*arguments: Any, **headers: str) -> Caller:
            made = Caller(*arguments, **headers)
            opened.callback(made.close)
            return made

        yield connect
