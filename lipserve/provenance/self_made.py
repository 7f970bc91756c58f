"""A certificate that LipServe makes by itself where nobody gives one. It vouches for nobody, and says so."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lipserve.errors import ProvenanceError
from lipserve.provenance.certificate import EMAIL_PROTECTION, SELF_MADE, Certificate, parse

NAME = f"LipServe ({SELF_MADE})"
_FILE = "self-made.pem"
_LIFE = timedelta(days=3650)
_MOST_BYTES = 65_536


def folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the user's folder of LipServe's state: $XDG_STATE_HOME/lipserve, ~/.local/state/lipserve."""
    given = environment.get("XDG_STATE_HOME", "")
    state = Path(given) if os.path.isabs(given) else Path("~/.local/state").expanduser()
    return state / "lipserve"


def self_made(where: Path | None = None) -> Certificate:
    """Return this user's own certificate, made at the first call: ES256, valid for ten years.

    It is kept with its key in one file with mode 0600. Where it has expired or is damaged another one is
    made, and where it cannot be kept, each call makes one.

    Args:
        where: the folder; None: `folder()`.
    """
    path = (where or folder()) / _FILE
    with suppress(OSError, ProvenanceError):
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)
        kept = parse(content, content)
        kept.check()
        return kept
    content = make()
    with suppress(OSError):
        _keep(path, content)
    return parse(content, content)


def make(begins: datetime | None = None, life: timedelta = _LIFE) -> bytes:
    """Return a certificate that has signed itself, and its private key, as PEM.

    Args:
        begins: when it may sign for the first time; None: an hour ago, for clocks that are late.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    begins = begins or datetime.now(UTC) - timedelta(hours=1)
    name = x509.Name(
        [x509.NameAttribute(kind, NAME) for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)]
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    signs = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
         "crl_sign", "encipher_only", "decipher_only"), False
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), begins, begins + life
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **signs), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier(EMAIL_PROTECTION)]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM) + private


def _keep(path: Path, content: bytes) -> None:
    """Write a file that appears whole, readable by its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{secrets.token_hex(8)}.pem")
    number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(number, "wb") as file:
            file.write(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
