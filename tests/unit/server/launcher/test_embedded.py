"""What the embedded Triton is started with, and what is refused before it starts."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from lipserve.errors import SetupError
from lipserve_server.inside.limits import Limits
from lipserve_server.launcher import triton
from lipserve_server.launcher.addresses import free_ports
from lipserve_server.launcher.embedded import EmbeddedServer
from lipserve_server.launcher.guard.admission import Admission
from lipserve_server.launcher.log import parse

URL = "http://127.0.0.1:4318/v1/traces"


def _command(trace_url: str | None) -> list[str]:
    settings = triton.Settings(
        repository=Path("r"),
        models=(),
        backends=Path("b"),
        socket=Path("s"),
        metrics_port=2,
        admin_key="k",
        shm_prefix="p",
        trace_url=trace_url,
    )
    return triton.command(Path("tritonserver"), settings)


def test_requests_are_traced_only_where_a_collector_is_named() -> None:
    assert not any("trace-config" in word for word in _command(None))
    told = [word.removeprefix("--trace-config=") for word in _command(URL) if "trace-config" in word]
    assert {"mode=opentelemetry", "level=TIMESTAMPS", "rate=1", f"opentelemetry,url={URL}"} < set(told)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:4318", "http://", "http://h", "ftp://h/v1/traces", "http://h/a b"]
)
def test_a_text_that_is_no_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(SetupError, match=re.escape(URL)):
        EmbeddedServer(tmp_path, trace_url=url)


@pytest.mark.parametrize("port", [-1, 70000])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(SetupError, match=rf"Port {port} of 127.0.0.1 cannot be opened: .*0-65535"):
        free_ports("127.0.0.1", port)


def test_a_leaf_needs_a_thread(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="leaf_threads=0"):
        EmbeddedServer(tmp_path, leaf_threads=0)


def test_failed_span_exports_are_logged_as_debug() -> None:
    line = "[Error] File: x.cc:122 [OTLP HTTP Client] ERROR: Export 4 trace span(s) error: 1"
    assert parse(line, previous=40)[0] == 10


def test_a_model_that_is_being_brought_back_costs_the_drain_no_more_than_its_time(tmp_path: Path) -> None:
    waited: list[float] = []

    class Loading:
        def stop(self, timeout: float) -> None:
            waited.append(timeout)
            time.sleep(timeout)

    class Working:
        admission = Admission({}, Limits())

    server = EmbeddedServer(tmp_path, exit_timeout=0.1)
    server.supervisor, server._guard = Loading(), Working()  # type: ignore[assignment]
    with Working.admission.accepted():
        assert not server._drain()
    assert waited == [0.1]
    assert server._drain()
