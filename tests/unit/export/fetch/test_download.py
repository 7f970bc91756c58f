"""Downloads from a real HTTPS server on this machine, as good and as bad as servers are."""

from __future__ import annotations

import hashlib
import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from lipserve.errors import SetupError
from lipserve_export.fetch.download import Source, download
from lipserve_export.fetch.files import file_sha256

DATA = bytes(range(256)) * 12_000  # 3 MB
SHA256 = hashlib.sha256(DATA).hexdigest()
CUT = 1_000_000


class Publisher(http.server.BaseHTTPRequestHandler):
    """The path decides what goes wrong."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range")))  # type: ignore[attr-defined]
        if self.path == "/moved":
            self.redirect("/whole")
        elif self.path == "/insecure":
            self.redirect(f"http://127.0.0.1:{self.server.server_address[1]}/whole")
        elif self.path.strip("/").isdecimal():
            self.send_error(int(self.path.strip("/")))
        else:
            self.send_data()

    def redirect(self, where: str) -> None:
        self.send_response(302)
        self.send_header("Location", where)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_data(self) -> None:
        start = 0
        span = self.headers.get("Range")
        if span and self.path != "/rangeless":
            start = int(span.removeprefix("bytes=").removesuffix("-"))
        data = {"/other": DATA[::-1], "/longer": DATA + b"!"}.get(self.path, DATA)[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data[:CUT] if self.path == "/cut" and not start else data)
            while self.path == "/endless":
                self.wfile.write(data)
        except OSError:
            pass  # the client has hung up

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def publisher(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Publisher)
    server.daemon_threads = True
    server.asked = []  # type: ignore[attr-defined]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def source(server: http.server.HTTPServer, path: str, size: int = len(DATA), sha256: str = SHA256) -> Source:
    return Source(f"https://127.0.0.1:{server.server_address[1]}{path}", size, sha256)


def asked(server: http.server.HTTPServer) -> list[tuple[str, str | None]]:
    seen: list[tuple[str, str | None]] = server.asked  # type: ignore[attr-defined]
    return seen


def test_a_redirected_file_arrives_whole_and_is_not_fetched_twice(
    publisher: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    path, lines = tmp_path / "new folder" / "weights.pt", []
    download(source(publisher, "/moved"), path, lines.append)
    assert path.read_bytes() == DATA
    assert file_sha256(path) == SHA256
    assert [entry.name for entry in path.parent.iterdir()] == ["weights.pt"]
    assert lines[-1] == "3 of 3 MB"
    assert len(lines) >= 3
    download(source(publisher, "/moved"), path, lines.append)
    assert "there already" in lines[-1]
    assert asked(publisher) == [("/moved", None), ("/whole", None)]


def test_a_broken_download_goes_on_where_it_broke(
    publisher: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    path, cut = tmp_path / "weights.pt", source(publisher, "/cut")
    with pytest.raises(SetupError, match=f"broke after {CUT} of {len(DATA)} bytes") as caught:
        download(cut, path, lambda line: None)
    assert "goes on from there" in caught.value.remedy
    assert not path.exists()
    download(cut, path, lambda line: None)
    assert path.read_bytes() == DATA
    assert asked(publisher) == [("/cut", None), ("/cut", f"bytes={CUT}-")]


def test_a_server_that_cannot_resume_starts_anew(
    publisher: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    Path(f"{path}.part").write_bytes(b"x" * CUT)
    download(source(publisher, "/rangeless"), path, lambda line: None)
    assert path.read_bytes() == DATA


def test_a_whole_part_is_only_checked(publisher: http.server.ThreadingHTTPServer, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    Path(f"{path}.part").write_bytes(DATA)
    download(source(publisher, "/whole"), path, lambda line: None)
    assert path.read_bytes() == DATA
    assert asked(publisher) == []


@pytest.mark.parametrize("begun", [b"", b"x" * CUT, b"x" * (len(DATA) + 1)])
def test_a_file_with_another_digest_is_deleted(
    publisher: http.server.ThreadingHTTPServer, tmp_path: Path, begun: bytes
) -> None:
    path, part = tmp_path / "weights.pt", tmp_path / "weights.pt.part"
    part.write_bytes(begun)
    wanted = source(publisher, "/whole" if 0 < len(begun) < len(DATA) else "/other")
    with pytest.raises(SetupError, match=rf"has the sha256 \w{{64}}, not {SHA256}"):
        download(wanted, path, lambda line: None)
    assert not path.exists()
    assert not part.exists()
    download(source(publisher, "/whole"), path, lambda line: None)
    assert path.read_bytes() == DATA


def test_a_file_of_another_size_is_refused_before_it_is_downloaded(
    publisher: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=rf"offers {len(DATA) + 1} bytes, and .* has {len(DATA)}"):
        download(source(publisher, "/longer"), tmp_path / "weights.pt", lambda line: None)
    assert not (tmp_path / "weights.pt.part").exists()


def test_an_endless_answer_ends_at_the_size_that_is_known(
    publisher: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    download(source(publisher, "/endless"), path, lambda line: None)
    assert path.read_bytes() == DATA


@pytest.mark.parametrize(
    ("status", "remedy"), [(404, "taken it away"), (403, "asks for a login"), (503, "Try again later")]
)
def test_the_publishers_refusal_is_told(
    publisher: http.server.ThreadingHTTPServer, tmp_path: Path, status: int, remedy: str
) -> None:
    with pytest.raises(SetupError, match=rf"/{status} answers {status}\.") as caught:
        download(source(publisher, f"/{status}"), tmp_path / "weights.pt", lambda line: None)
    assert remedy in caught.value.remedy


def test_a_redirect_out_of_https_is_not_followed(
    publisher: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=r"leads to http://.* which is not HTTPS"):
        download(source(publisher, "/insecure"), tmp_path / "weights.pt", lambda line: None)
    assert asked(publisher) == [("/insecure", None)]


def test_a_certificate_of_an_unknown_authority_is_refused(
    publisher: http.server.ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "stranger.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "stranger.pem"))
    with pytest.raises(SetupError, match="certificate verify failed"):
        download(source(publisher, "/whole"), tmp_path / "weights.pt", lambda line: None)


def test_a_refused_connection_is_told_before_the_timeout(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(SetupError, match=r"cannot be reached: .*refused") as caught:
        download(Source("https://127.0.0.1:9/x", 1, SHA256), tmp_path / "weights.pt", lambda line: None)
    assert "HTTPS_PROXY" in caught.value.remedy
    assert time.monotonic() - began < 20  # of the 30 s that it waits for a byte


def test_a_full_disk_is_named(publisher: http.server.ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "weights.pt.part").symlink_to("/dev/full")
    with pytest.raises(SetupError, match=r"The disk of .*weights\.pt\.part is full"):
        download(source(publisher, "/whole"), tmp_path / "weights.pt", lambda line: None)


def test_room_is_looked_for_before_a_byte_comes(
    publisher: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=r"has room for [\d.]+ GB; the download needs 1000000000\.0 GB"):
        download(source(publisher, "/whole", size=10**18), tmp_path / "weights.pt", lambda line: None)
    assert asked(publisher) == []


def test_a_file_that_is_there_is_never_written_over(
    publisher: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    path.write_text("mine")
    with pytest.raises(SetupError, match="another file"):
        download(source(publisher, "/whole"), path, lambda line: None)
    assert path.read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"cannot be written: (Not a directory|File exists)"):
        download(Source("https://127.0.0.1:9/x", 1, SHA256), tmp_path / "file" / "w.pt", lambda line: None)
