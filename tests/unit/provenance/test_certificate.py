"""Which certificates may sign, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from lipserve.errors import ProvenanceError, SetupError
from lipserve.provenance.certificate import load, parse

Pair = tuple[bytes, bytes]

KEYS: dict[str, Callable[[], Any]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_the_kinds_of_keys_that_c2pa_allows(issue: Callable[..., Pair], algorithm: str) -> None:
    found = parse(*issue(KEYS[algorithm]()))
    assert (found.algorithm, found.name, found.serial) == (algorithm, "Studio Example", 7)
    assert not found.self_made
    found.check()


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (lambda: ec.generate_private_key(ec.SECP256K1()), "ECPrivateKey of 256 bits"),
        (lambda: rsa.generate_private_key(65537, 1024), "RSAPrivateKey of 1024 bits"),
        (ed448.Ed448PrivateKey.generate, "Ed448PrivateKey"),
    ],
)
def test_other_keys_are_refused(issue: Callable[..., Pair], key: Callable[[], Any], kind: str) -> None:
    with pytest.raises(ProvenanceError, match=f"no signature by this kind of key \\(.*{kind}\\).*P-256"):
        parse(*issue(key()))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"usages": ()}, "has no extended key usage. Ask for"),
        ({"usages": ("1.3.6.1.5.5.7.3.1",)}, "no extended key usage for claims, documents or e-mail"),
        ({"digital_signature": False}, "is not for digital signatures"),
    ],
)
def test_a_certificate_for_something_else_is_refused(
    issue: Callable[..., Pair], made: dict[str, Any], why: str
) -> None:
    with pytest.raises(ProvenanceError, match=why):
        parse(*issue(**made))


@pytest.mark.parametrize(
    ("begins", "ends", "why"),
    [(-9, -2, "expired on .*Renew it"), (3, 9, "is not valid before .*clock")],
)
def test_the_time_of_a_certificate(issue: Callable[..., Pair], begins: int, ends: int, why: str) -> None:
    found = parse(*issue(begins=timedelta(days=begins), ends=timedelta(days=ends)))
    with pytest.raises(ProvenanceError, match=why):
        found.check()


def test_the_key_of_another_certificate_is_refused(issue: Callable[..., Pair]) -> None:
    (chain, key), (_, other) = issue(), issue()
    with pytest.raises(ProvenanceError, match="does not belong to the first certificate"):
        parse(chain, other)
    ends = chain.index(b"-----END CERTIFICATE-----\n") + 26
    with pytest.raises(ProvenanceError, match="does not belong to the first certificate"):
        parse(chain[ends:] + chain[:ends], key)  # the authority first


def test_what_is_no_certificate_or_no_key_is_refused(issue: Callable[..., Pair], tmp_path: Path) -> None:
    chain, key = issue()
    plain = load_pem_private_key(key, None)
    locked = plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    for given, why in (
        ((b"junk", key), "not a chain of PEM certificates"),
        ((b"", key), "not a chain of PEM certificates"),
        ((chain, b"junk"), "not a PEM key"),
        ((chain, locked), "private key is encrypted.*openssl pkey"),
    ):
        with pytest.raises(ProvenanceError, match=why):
            parse(*given)
    with pytest.raises(SetupError, match=r"certificate .*absent\.pem cannot be read: No such file"):
        load(tmp_path / "absent.pem", tmp_path / "absent.key")
    (tmp_path / "large.pem").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(ProvenanceError, match="above 1 MiB"):
        load(tmp_path / "large.pem", tmp_path / "large.pem")


def test_both_files_are_read(issue: Callable[..., Pair], tmp_path: Path) -> None:
    for name, content in zip(("chain.pem", "key.pem"), issue(), strict=True):
        (tmp_path / name).write_bytes(content)
    found = load(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert found.chain.count(b"BEGIN CERTIFICATE") == 2
    assert found.key.startswith(b"-----BEGIN PRIVATE KEY")
