"""TLS of the gRPC port: its files, their validation, and their expiry."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from lipserve.errors import SetupError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


@dataclass(frozen=True)
class TlsFiles:
    """PEM files of the gRPC port; with `client_ca`, clients must present a certificate."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return gRPC's form of these files.

    Raises:
        SetupError: a file cannot be read or is not PEM, the key is not the certificate's, the certificate
            names no host, or the package cryptography is missing.
    """
    _check_name(_certificates(files.certificate)[0])
    _check_key(files)
    if files.client_ca is not None:
        _certificates(files.client_ca)
    return grpc.ssl_server_credentials(
        [(files.key.read_bytes(), files.certificate.read_bytes())],
        files.client_ca.read_bytes() if files.client_ca else None,
        require_client_auth=files.client_ca is not None,
    )


def expiries(files: TlsFiles) -> dict[Path, float]:
    """Return when each file's certificates end, in Unix seconds.

    That is the first of the server's chain to end, and the last of the clients' authorities: old ones are
    left in such a file on purpose.
    """
    ends = {files.certificate: min(map(_end, _certificates(files.certificate)))}
    if files.client_ca is not None:
        ends[files.client_ca] = max(map(_end, _certificates(files.client_ca)))
    return ends


def _end(certificate: Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp()


def _certificates(path: Path) -> list[Certificate]:
    try:
        from cryptography import x509
    except ImportError as error:
        raise SetupError(
            "TLS needs the package cryptography.", "Install it: pip install 'lipserve[pod]'."
        ) from error
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}.", "Mount the Secret of the certificate.") from error
    except ValueError as error:
        raise SetupError(f"{path} contains no certificate.", "Give a PEM file.") from error


def _check_key(files: TlsFiles) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(files.certificate, files.key)
    except OSError as error:  # SSLError is one
        raise SetupError(
            f"{files.key} is not the key of {files.certificate}: {error.strerror or error}.",
            "Mount the key and the certificate from one Secret.",
        ) from error


def _check_name(certificate: Certificate) -> None:
    from cryptography import x509

    try:
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound as error:
        raise SetupError(
            "The server's certificate has no host name (subjectAltName).",
            "Issue a certificate with the name of the Service: clients refuse one without.",
        ) from error
