"""The certificate and the private key that sign results, checked before any work is done for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from lipserve.errors import ProvenanceError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

# Environment variables: the files of an operator's certificate, and what happens where it cannot sign.
CERTIFICATE_VARIABLE = "LIPSERVE_CERTIFICATE"
KEY_VARIABLE = "LIPSERVE_PRIVATE_KEY"
POLICY_VARIABLE = "LIPSERVE_PROVENANCE"
TIMESTAMP_VARIABLE = "LIPSERVE_TIMESTAMP_URL"

SELF_MADE = "self-made, unverified"
"""Stands in the name of a certificate that LipServe made by itself, and in what its manifests say."""

# Extended key usages that C2PA knows for a claim's signer: its own, documents, e-mail.
CLAIM_SIGNING = "1.3.6.1.4.1.62558.2.1"
DOCUMENT_SIGNING = "1.3.6.1.5.5.7.3.36"
EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4"
USAGES = (CLAIM_SIGNING, DOCUMENT_SIGNING, EMAIL_PROTECTION)

_MOST_BYTES = 1 << 20  # of a PEM file
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@dataclass(frozen=True)
class Certificate:
    """A certificate chain with the private key of its first certificate.

    Attributes:
        chain: PEM, the signer's own certificate first.
        key: PEM, PKCS #8.
        algorithm: C2PA's name: ES256, ES384, ES512, PS256 or Ed25519.
        name: of the signer, from the certificate.
        serial: number of the certificate.
        begins, ends: first and last moment at which it may sign.
    """

    chain: bytes
    key: bytes
    algorithm: str
    name: str
    serial: int
    begins: datetime
    ends: datetime

    @property
    def self_made(self) -> bool:
        return SELF_MADE in self.name

    def check(self, now: datetime | None = None) -> None:
        """Raise ProvenanceError if the certificate may not sign at this moment."""
        now = now or datetime.now(UTC)
        if now > self.ends:
            raise ProvenanceError(
                f"The certificate of {self.name} expired on {self.ends:%Y-%m-%d %H:%M} UTC.",
                "Renew it, and give the new certificate with its private key.",
            )
        if now < self.begins:
            raise ProvenanceError(
                f"The certificate of {self.name} is not valid before {self.begins:%Y-%m-%d %H:%M} UTC.",
                "Wait until then, give another certificate, or set the clock of this machine.",
            )


def load(certificate: str | PathLike[str], private_key: str | PathLike[str]) -> Certificate:
    """Return a certificate and its key from two PEM files.

    Raises:
        ProvenanceError: a file cannot be read, they are of no kind that C2PA allows, or they do not belong
            together. Whether the certificate has expired, `Certificate.check` says.
    """
    return parse(_read(certificate, "certificate"), _read(private_key, "private key"))


def parse(chain: bytes, key: bytes) -> Certificate:
    """Return the certificate of a PEM chain and a PEM key: `load`, of their content."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise ProvenanceError(
            "The certificate is not a chain of PEM certificates.",
            "Give a file with the signer's certificate first, and after it those that vouch for it.",
        ) from error
    own, private = certificates[0], _private(key)
    spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if own.public_key().public_bytes(*spki) != private.public_key().public_bytes(*spki):
        raise ProvenanceError(
            "The private key does not belong to the first certificate of the chain.",
            "Give the key that the certificate was issued for, and the signer's certificate first.",
        )
    _check_usages(own)
    return Certificate(
        chain=b"".join(made.public_bytes(Encoding.PEM) for made in certificates),
        key=private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        algorithm=_algorithm(private),
        name=_name(own),
        serial=own.serial_number,
        begins=own.not_valid_before_utc,
        ends=own.not_valid_after_utc,
    )


def _read(path: str | PathLike[str], what: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file's name"
        raise ProvenanceError(
            f"The file of the {what} {path} cannot be read: {reason}.", "Give a PEM file that can be read."
        ) from error
    if len(content) > _MOST_BYTES:
        raise ProvenanceError(f"The file of the {what} {path} is above 1 MiB.", "Give a PEM file.")
    return content


def _private(key: bytes) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(key, None)
    except TypeError as error:  # it wants a password
        raise ProvenanceError(
            "The private key is encrypted.", "Decrypt it: openssl pkey -in KEY -out PLAIN_KEY."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ProvenanceError("The private key is not a PEM key.", "Give the key as PEM.") from error


def _algorithm(key: PrivateKeyTypes) -> str:
    """Return C2PA's name of the algorithm that a key signs by, or raise ProvenanceError."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "Ed25519"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "PS256"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    size = getattr(key, "key_size", None)
    raise ProvenanceError(
        f"C2PA allows no signature by this kind of key ({type(key).__name__.removeprefix('_')}"
        f"{f' of {size} bits' if size else ''}).",
        "Use a key of the curve P-256, P-384, P-521 or Ed25519, or RSA of 2048 bits or more.",
    )


def _check_usages(certificate: x509.Certificate) -> None:
    """Raise ProvenanceError if a certificate is not for signing what its owner says."""
    from cryptography import x509

    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound as error:
        missing = "extended key usage" if error.oid == x509.ExtendedKeyUsage.oid else "key usage"
        raise _unfit(f"has no {missing}") from error
    except (ValueError, x509.DuplicateExtension) as error:
        raise _unfit("has damaged extensions") from error
    if not usage.digital_signature:
        raise _unfit("is not for digital signatures")
    if not {usage.dotted_string for usage in extended} & set(USAGES):
        raise _unfit("has no extended key usage for claims, documents or e-mail")


def _unfit(why: str) -> ProvenanceError:
    return ProvenanceError(
        f"The certificate cannot sign: it {why}.",
        "Ask for a certificate with the key usage digitalSignature and one of the extended key usages "
        f"{', '.join(USAGES)} (C2PA claims, documents, e-mail).",
    )


def _name(certificate: x509.Certificate) -> str:
    from cryptography.x509.oid import NameOID

    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for found in certificate.subject.get_attributes_for_oid(kind):
            return str(found.value)
    return certificate.subject.rfc4514_string() or "an unnamed signer"
