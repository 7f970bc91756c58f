"""What is refused before Triton starts, and the key that lets the launcher in."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from lipserve.errors import SetupError
from lipserve_server.tls import admin_channel, expiries
from lipserve_server.triton import TlsFiles

ENDS = datetime.datetime(2031, 5, 17, tzinfo=datetime.UTC)


def certify(folder: Path, *names: str, authority: trustme.CA | None = None) -> TlsFiles:
    authority = authority or trustme.CA()
    issued = authority.issue_cert(*names, not_after=ENDS)
    files = TlsFiles(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
    issued.private_key_pem.write_to_path(files.key)
    files.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    assert files.client_ca is not None
    authority.cert_pem.write_to_path(files.client_ca)
    return files


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("lipserve.media.svc", "lipserve"), "lipserve.media.svc"),
        (("*.lipserve-headless.media.svc",), "any.lipserve-headless.media.svc"),
        (("10.0.0.7",), "10.0.0.7"),
    ],
)
def test_the_server_is_known_by_a_name_of_its_certificate(
    tmp_path: Path, names: tuple[str, ...], expected: str
) -> None:
    files = certify(tmp_path, *names)
    channel = admin_channel(TlsFiles(files.certificate, files.key), tmp_path)
    assert channel.name == expected
    assert channel.roots == files.certificate.read_bytes()
    assert channel.key is channel.certificate is None


def test_clients_are_those_of_the_authority_and_the_launcher(tmp_path: Path) -> None:
    files, folder = certify(tmp_path, "lipserve"), tmp_path / "work"
    folder.mkdir()
    first, second = admin_channel(files, folder), admin_channel(files, folder)
    assert first.key != second.key, "it is made anew for each start"
    assert second.server is not None
    assert second.server.client_ca is not None
    trusted = x509.load_pem_x509_certificates(second.server.client_ca.read_bytes())
    assert second.certificate is not None
    assert files.client_ca is not None
    assert trusted == [
        *x509.load_pem_x509_certificates(files.client_ca.read_bytes()),
        x509.load_pem_x509_certificate(second.certificate),
    ]
    assert (second.server.certificate, second.server.key) == (files.certificate, files.key)


def test_expiry_is_the_first_of_a_chain_and_the_last_of_the_authorities(tmp_path: Path) -> None:
    files = certify(tmp_path, "lipserve")
    assert files.client_ca is not None
    authorities = [files.client_ca.read_bytes()]
    for year in (2027, 2099):
        old = trustme.CA().issue_cert(
            "old.test", not_after=datetime.datetime(year, 1, 1, tzinfo=datetime.UTC)
        )
        authorities.append(old.cert_chain_pems[0].bytes())
    files.client_ca.write_bytes(b"".join(authorities))
    ends = [c.not_valid_after_utc.timestamp() for c in x509.load_pem_x509_certificates(b"".join(authorities))]
    assert expiries(files) == {files.certificate: ENDS.timestamp(), files.client_ca: max(ends)}


def test_another_key_is_refused(tmp_path: Path) -> None:
    files = certify(tmp_path, "lipserve")
    trustme.CA().issue_cert("lipserve").private_key_pem.write_to_path(files.key)
    with pytest.raises(SetupError, match=r"tls\.key is not the key of .*tls\.crt.*from one secret"):
        admin_channel(files, tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_what_is_no_certificate_is_refused(tmp_path: Path, content: bytes | None) -> None:
    files = certify(tmp_path, "lipserve")
    files.certificate.unlink()
    if content is not None:
        files.certificate.write_bytes(content)
    with pytest.raises(SetupError, match=r"tls\.crt"):
        admin_channel(files, tmp_path)


def test_the_launchers_certificate_is_one_for_clients(tmp_path: Path) -> None:
    """A TLS server that trusts what Triton is told to trust lets it in."""
    files = certify(tmp_path, "lipserve")
    channel = admin_channel(files, tmp_path)
    assert channel.server is not None
    assert channel.server.client_ca is not None
    key, certificate = tmp_path / "admin.key", tmp_path / "admin.crt"
    key.write_bytes(channel.key or b"")
    certificate.write_bytes(channel.certificate or b"")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(channel.server.client_ca))
    server.load_cert_chain(files.certificate, files.key)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(files.client_ca))
    client.load_cert_chain(certificate, key)
    assert handshake(client, server) == {"commonName": "lipserve-pod"}


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> dict[str, str]:
    """Return the subject of the client that the server has accepted."""
    one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks = client.wrap_bio(one, other, server_hostname="lipserve")
    answers = server.wrap_bio(other, one, server_side=True)
    for side in (asks, answers, asks, answers):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    found = answers.getpeercert()
    assert found is not None
    return dict(pair for names in found["subject"] for pair in names)  # type: ignore[misc, union-attr]
