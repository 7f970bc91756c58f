"""What of TLS is refused before Triton starts, and when certificates end."""

from __future__ import annotations

import datetime
from pathlib import Path

import grpc
import pytest
import trustme
from cryptography import x509

from lipserve.errors import SetupError
from lipserve_server.launcher.tls import TlsFiles, credentials, expiries

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


@pytest.mark.parametrize("name", ["lipserve.media.svc", "*.lipserve-headless.media.svc", "10.0.0.7"])
def test_a_certificate_that_names_a_host_is_served(tmp_path: Path, name: str) -> None:
    files = certify(tmp_path, name)
    assert isinstance(credentials(files), grpc.ServerCredentials)
    assert isinstance(credentials(TlsFiles(files.certificate, files.key)), grpc.ServerCredentials)


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
    with pytest.raises(SetupError, match=r"tls\.key is not the key of .*tls\.crt.*from one Secret"):
        credentials(files)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path, content: bytes | None) -> None:
    files = certify(tmp_path, "lipserve")
    files.certificate.unlink()
    if content is not None:
        files.certificate.write_bytes(content)
    with pytest.raises(SetupError, match=r"tls\.crt"):
        credentials(files)


def test_a_file_that_is_no_authority_of_clients_is_refused(tmp_path: Path) -> None:
    files = certify(tmp_path, "lipserve")
    assert files.client_ca is not None
    files.client_ca.write_bytes(b"no certificate")
    with pytest.raises(SetupError, match=r"ca\.crt"):
        credentials(files)
