"""Fixtures that every kind of test may use."""

from __future__ import annotations

import fcntl
import gc
import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, settings

from lipserve.contracts import TierName, leaves_of
from tests.support.groups import end_with, keep_together

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"

# The same examples in every run, however slow the machine.
settings.register_profile(
    "lipserve", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("lipserve")

# The certificate that signs results here is the tests' own.
os.environ["XDG_STATE_HOME"] = str(ROOT / "build/test/state")

# A shell without job control starts what it puts in the background deaf to Ctrl-C, and that is inherited: the
# programs that tests start and interrupt must not be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long text or file by its length: workers send the name of every test, and reports hold it."""
    return f"{argname} of {len(val)}" if isinstance(val, str | bytes) and len(val) > 120 else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage: thousands of tests and modules stay, and looking is much work."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    keep_together(items)


@pytest.hookimpl(trylast=True)  # after the fixtures of the test
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    end_with(item, nextitem)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Return a function that gives a file of the reference media, or skips the test naming it."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"reference media absent: shared/data/{name}")
        return path

    return find


@pytest.fixture(scope="session")
def exported() -> Path:
    """Return a repository of exported graphs, the tests' own: nothing in it is anybody else's.

    It is taken from build/model_repository where that is complete, and exported once where it is not.
    """
    return _repository("model_repository", ("lipwarp", "wav2lip"), [["all"]])


@pytest.fixture(scope="session")
def exported_lipwarp(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the repository of one tier alone: a server of it starts in two thirds of the time of both."""
    return _alone("lipwarp", exported, tmp_path_factory.mktemp("lipwarp"))


@pytest.fixture(scope="session")
def exported_wav2lip(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the repository of one tier alone: a server of it starts in half the time of both."""
    return _alone("wav2lip", exported, tmp_path_factory.mktemp("wav2lip"))


def _alone(tier: TierName, exported: Path, folder: Path) -> Path:
    for leaf in leaves_of(tier):
        (folder / leaf.name).symlink_to(exported / leaf.name)
    return folder


@pytest.fixture(scope="session")
def exported_latentsync() -> Path:
    """Return a repository of the quality tier at reduced width with random weights, as `exported`."""
    return _repository(
        "latentsync_repository", ("latentsync",), [["faces"], ["latentsync", "--random-seed", "1247"]]
    )


def _repository(folder: str, tiers: tuple[TierName, ...], commands: list[list[str]]) -> Path:
    """Return build/test/<folder>: what `make` exported, or the tests' own export.

    It is kept as long as the digest of what it depends on is the same, and so is what `make` exports.
    """
    target, source = ROOT / "build/test" / folder, ROOT / "build" / folder
    stamp, sources = target / ".exported", _exporter()
    made_of = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    target.mkdir(parents=True, exist_ok=True)
    with (target / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the processes of one test run share it
        if stamp.is_file() and stamp.read_text() == made_of:
            return target
        if (source / ".exported").is_file() and (source / ".exported").read_text() == made_of:
            for leaf in {leaf.name for tier in tiers for leaf in leaves_of(tier)}:
                shutil.copytree(source / leaf / "1", target / leaf / "1", dirs_exist_ok=True)
        else:
            for command in commands:
                program = Path(sys.executable).parent / "lipserve"
                subprocess.run([program, "export", *command, "-o", target], check=True)
        stamp.write_text(made_of)
    return target


def _exporter() -> list[Path]:
    """Return the files that decide what is exported, in a fixed order: the Makefile's EXPORTER."""
    weights = [f"weights/*.{kind}" for kind in ("pth", "onnx", "safetensors")]
    patterns = ("export/lipserve_export/**/*.py", "lipserve/contracts/*.py", *weights)
    found = {str(path.relative_to(ROOT)): path for pattern in patterns for path in ROOT.glob(pattern)}
    return [found[name] for name in sorted(found)]


@dataclass
class ApiServer:
    """A Kubernetes API over TLS that takes patches of pods: what it was asked, and what it answers.

    Attributes:
        account: the folder of a service account's token, authority and namespace.
        status: of every answer; 200 gives `found`.
    """

    port: int
    account: Path
    status: int = 200
    found: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    def annotations(self) -> list[dict[str, str]]:
        return [body["metadata"]["annotations"] for _, _, _, body in self.asked]


@pytest.fixture(scope="session")
def api_server() -> Callable[[Path], AbstractContextManager[ApiServer]]:
    """Return what starts an `ApiServer` and writes its service account into a folder."""
    return _api_server


@contextmanager
def _api_server(account: Path) -> Iterator[ApiServer]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(account / "ca.crt")
    (account / "token").write_text("first-token\n")
    (account / "namespace").write_text("media")

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            made.asked.append((self.command, self.path, dict(self.headers), body))
            status = made.status
            self.send_response(status)
            self.end_headers()
            refusal = {"message": "pods is forbidden"}
            self.wfile.write(json.dumps(made.found if status == 200 else refusal).encode())

        do_GET = do_PATCH = _answer  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made = ApiServer(server.server_port, account)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()
