"""A time-stamp authority: openssl's, behind a small HTTP server."""

from __future__ import annotations

import io
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lipserve.errors import ProvenanceError
from lipserve.provenance.certificate import parse
from lipserve.provenance.manifest import Facts
from lipserve.provenance.self_made import make
from lipserve.provenance.sign import sign
from lipserve.provenance.verify import read
from tests.support.waiting import until

Pair = tuple[bytes, bytes]
TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
SETTINGS = """
[tsa]
default_tsa = own
[own]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
certs = {folder}/root.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""


@dataclass
class Authority:
    url: str
    root: bytes


@pytest.fixture(scope="module")
def authority(issue: Callable[..., Pair], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl, whose time-stamp authority this needs")
    folder = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    chain, private = issue(key, usages=(TIME_STAMPING,), critical=True)
    ends = chain.index(b"-----END CERTIFICATE-----\n") + 26
    for name, content in (("tsa.pem", chain[:ends]), ("root.pem", chain[ends:]), ("tsa.key", private)):
        (folder / name).write_bytes(content)
    (folder / "serial").write_text("01\n")
    (folder / "settings").write_text(SETTINGS.format(folder=folder))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            (folder / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            command = [openssl, "ts", "-reply", "-queryfile", "query", "-config", "settings", "-out", "reply"]
            subprocess.run(command, cwd=folder, capture_output=True, check=True)
            content = (folder / "reply").read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield Authority(f"http://127.0.0.1:{server.server_port}", chain[ends:])
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_time_stamp_outlives_the_certificate(film: bytes, facts: Facts, authority: Authority) -> None:
    content = make(datetime.now(UTC) - timedelta(days=1), timedelta(days=1, seconds=2))
    certificate, made = parse(content, content), io.BytesIO()
    sign(io.BytesIO(film), made, certificate, facts, timestamp_url=authority.url)
    until(lambda: datetime.now(UTC) > certificate.ends + timedelta(seconds=1), "it does not expire")
    found = read(made, [authority.root])
    assert found.state == "self-made"
    assert found.signed_at.startswith(f"{datetime.now(UTC):%Y-%m}")
    assert read(made).state == "expired"  # nobody trusts that authority


def test_an_authority_that_does_not_answer_is_told(film: bytes, facts: Facts, tmp_path: Path) -> None:
    content = make()
    with pytest.raises(ProvenanceError, match="time-stamp authority answers"):
        sign(
            io.BytesIO(film),
            io.BytesIO(),
            parse(content, content),
            facts,
            timestamp_url="http://127.0.0.1:9/",
        )
