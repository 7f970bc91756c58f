"""Certificates of every kind, and a small film to sign."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from lipserve import audio
from lipserve.files.picture import Colour, Picture
from lipserve.media.encode import VideoWriter
from lipserve.options import Consent
from lipserve.provenance.certificate import CLAIM_SIGNING
from lipserve.provenance.manifest import Facts
from lipserve.report import Report

Pair = tuple[bytes, bytes]


@pytest.fixture(scope="session")
def film() -> bytes:
    file, rng = io.BytesIO(), np.random.default_rng(3)
    sound = audio.wav(rng.normal(0, 0.1, 16000).astype(np.float32))
    with VideoWriter(file, 64, 48, Fraction(25), Colour(), audio=sound) as writer:
        for _ in range(25):
            planes = (rng.integers(16, 235, size, np.uint8) for size in ((48, 64), (24, 32), (24, 32)))
            writer.write(Picture(*planes, Colour()))
    return file.getvalue()


@pytest.fixture(scope="session")
def facts() -> Facts:
    report = Report(
        tier="lipwarp",
        weights="lip_renderer: shipped",
        width=64,
        height=48,
        fps=25,
        frames=25,
        seconds=1,
        faces=1,
        faceless_frames=0,
        driven=[(0, 9), (15, 24)],
        detector_calls=1,
        stage_seconds={},
    )
    consent = Consent.model_validate_json('{"who": "Ada", "when": "2026-11-30", "purpose": "a talk"}')
    return Facts(report, "a" * 64, ("b" * 64,), consent)


@pytest.fixture(scope="session")
def issue() -> Callable[..., Pair]:
    """Return what makes a certificate and its key, as PEM; an authority of its own has signed it."""
    now = datetime.now(UTC)

    def make(
        key: Any = None,
        begins: timedelta = timedelta(days=-1),
        ends: timedelta = timedelta(days=90),
        usages: tuple[str, ...] = (CLAIM_SIGNING,),
        digital_signature: bool = True,
        critical: bool = False,
    ) -> Pair:
        authority = ed25519.Ed25519PrivateKey.generate()
        key = key or ec.generate_private_key(ec.SECP256R1())
        kinds = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME
        own, above = (
            x509.Name([x509.NameAttribute(kind, name) for kind in kinds])
            for name in ("Studio Example", "Example Authority")
        )
        builder = (
            x509.CertificateBuilder(above, own, key.public_key(), 7, now + begins, now + ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature, True, False, False, False, False, False, False, False),
                critical=True,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
            )
        )
        if usages:
            known = x509.ExtendedKeyUsage([x509.ObjectIdentifier(usage) for usage in usages])
            builder = builder.add_extension(known, critical=critical)
        root = (
            x509.CertificateBuilder(above, above, authority.public_key(), 8, now + begins, now + ends)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False)
            .sign(authority, None)
        )
        chain = [builder.sign(authority, None), root]
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return b"".join(made.public_bytes(Encoding.PEM) for made in chain), private

    return make
