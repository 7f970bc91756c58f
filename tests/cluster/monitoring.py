"""A real Prometheus and a real Alertmanager on loopback, what they read and whom they tell."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.proxy import free_port
from tests.support.waiting import until

HOST = "127.0.0.1"
RULES = Path(__file__).resolve().parents[2] / "helm/lipserve/files/rules"
RECORDED = Path(__file__).parent / "recorded"
PACKAGES = {"prometheus": "prometheus", "prometheus-alertmanager": "prometheus-alertmanager"}


def installed(program: str) -> str:
    """Return the path of a program, or skip the test naming it."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(
            f"{program} is not installed: apt-get install --no-install-recommends {PACKAGES[program]}"
        )
    return found


@contextlib.contextmanager
def program(command: list[str], log: Path, ready_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program from when `ready_url` answers 200 to the end of this context."""
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            until(lambda: process.poll() is not None or _answers(ready_url), f"{command[0]} is ready")
            assert process.poll() is None, log.read_text()[-3000:]
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as page:
        return bool(page.status == 200)
    return False


class Prometheus:
    """Asks one Prometheus by its HTTP API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def value(self, query: str) -> float | None:
        """Return what a query gives now: one number, or None where the answer is empty."""
        samples = self._ask("query", query=query)["result"]
        assert len(samples) <= 1, f"{query} gives {len(samples)} series"
        return float(samples[0]["value"][1]) if samples else None

    def values(self, query: str, start: float, end: float) -> list[float]:
        """Return all numbers that a query gave from `start` to `end`, second by second."""
        answer = self._ask("query_range", query=query, start=start, end=end, step=1)
        return [float(value) for series in answer["result"] for _, value in series["values"]]

    def names(self, matcher: str) -> set[str]:
        """Return the names of the metrics that have a series of `matcher`."""
        return set(self._ask("label/__name__/values", **{"match[]": matcher}))

    def alerts(self) -> set[str]:
        """Return the names of the alerts that fire."""
        found = self._ask("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}

    def _ask(self, path: str, **parameters: Any) -> Any:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as page:
                return json.load(page)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error


@contextlib.contextmanager
def prometheus(folder: Path, jobs: list[dict[str, Any]], alertmanager: str = "") -> Iterator[Prometheus]:
    """Run Prometheus with the chart's rules, evaluated every second, and these scrape jobs."""
    binary, port = installed("prometheus"), free_port(HOST)
    configuration: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES / "*.yaml")],
        "scrape_configs": jobs,
    }
    if alertmanager:
        configuration["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    command = [
        binary,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
    ]
    url = f"http://{HOST}:{port}"
    with program(command, folder / "prometheus.log", f"{url}/-/ready"):
        yield Prometheus(url)


def job(name: str, targets: list[str], path: str = "/metrics", **labels: str) -> dict[str, Any]:
    """Return a scrape job with the labels that Prometheus has in a cluster."""
    return {
        "job_name": name,
        "honor_labels": "source" in labels,  # a recorded page has the labels of its cluster
        "metrics_path": path,
        "static_configs": [{"targets": targets, "labels": labels}],
    }


@contextlib.contextmanager
def alertmanager(folder: Path, receiver_url: str) -> Iterator[str]:
    """Run an Alertmanager that tells a webhook at once; yields its address."""
    binary, port = installed("prometheus-alertmanager"), free_port(HOST)
    configuration = {
        "route": {"receiver": "test", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s"},
        "receivers": [{"name": "test", "webhook_configs": [{"url": receiver_url}]}],
    }
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(configuration))
    command = [
        binary,
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={HOST}:{port}",
        "--cluster.listen-address=",
    ]
    with program(command, folder / "alertmanager.log", f"http://{HOST}:{port}/-/ready"):
        yield f"{HOST}:{port}"


@contextlib.contextmanager
def _served(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer((HOST, 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def recorded() -> contextlib.AbstractContextManager[str]:
    """Serve the pages of tests/cluster/recorded; yields the address."""
    return _served(functools.partial(_Quiet, directory=str(RECORDED)))


@contextlib.contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Take what Alertmanager sends; yields the address and the alerts, in the order of their arrival."""
    told: list[dict[str, Any]] = []

    class Webhook(_Quiet):
        def do_POST(self) -> None:
            told.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"])
            self.send_response(200)
            self.end_headers()

    with _served(Webhook) as address:
        yield f"http://{address}/", told
