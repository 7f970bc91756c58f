"""TLS of Triton's gRPC port: what it serves with, and how the launcher itself gets in."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lipserve.errors import SetupError
from lipserve_server.triton import TlsFiles

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_NAME = "lipserve-pod"
_LIFETIME = datetime.timedelta(days=3650)  # of a key that is gone with the process


@dataclass(frozen=True)
class Channel:
    """How model control reaches the server; the default is plain text.

    Attributes:
        server: the files that Triton is started with.
        roots, key, certificate: PEM, of the TLS connection.
        name: that the server's certificate bears: it is reached by address.
    """

    server: TlsFiles | None = None
    roots: bytes | None = None
    key: bytes | None = None
    certificate: bytes | None = None
    name: str = ""


def admin_channel(files: TlsFiles, folder: Path) -> Channel:
    """Return the channel to a server with these files; what has to be written goes into `folder`.

    The server's own certificate is the only one that is trusted. Where clients must show one, a key is made
    for this start, and Triton is told to trust it beside the clients' authority.

    Raises:
        SetupError: a file cannot be read or is not PEM, the key is not the certificate's, or the package
            cryptography is missing.
    """
    chain = _certificates(files.certificate)
    _check_key(files)
    roots, name = files.certificate.read_bytes(), _name(chain[0])
    if files.client_ca is None:
        return Channel(files, roots, name=name)
    _certificates(files.client_ca)
    key, certificate = _self_signed()
    trusted = folder / "clients.pem"
    trusted.write_bytes(files.client_ca.read_bytes().rstrip() + b"\n" + certificate)
    server = TlsFiles(files.certificate, files.key, trusted)
    return Channel(server, roots, key, certificate, name)


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
        raise SetupError(f"{path}: {error.strerror}.", "Mount the certificate's secret.") from error
    except ValueError as error:
        raise SetupError(f"{path} holds no certificate.", "Give a file in PEM.") from error


def _check_key(files: TlsFiles) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(files.certificate, files.key)
    except OSError as error:  # SSLError is one
        raise SetupError(
            f"{files.key} is not the key of {files.certificate}: {error.strerror or error}.",
            "Mount key and certificate from one secret.",
        ) from error


def _name(certificate: Certificate) -> str:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound as error:
        raise SetupError(
            "The server's certificate names no host (subjectAltName).",
            "Issue one with the name of the Service: clients refuse it as well.",
        ) from error
    names = extension.value.get_values_for_type(x509.DNSName)
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    # A wildcard matches any first label.
    return [*(name.replace("*", "any", 1) for name in names), *map(str, addresses)][0]


def _self_signed() -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, _NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    return (
        key.private_bytes(serialization.Encoding.PEM, form, plain),
        certificate.public_bytes(serialization.Encoding.PEM),
    )
