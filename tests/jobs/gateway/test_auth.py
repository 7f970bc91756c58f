"""Who may call, and who only says so."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from lipserve_jobs.gateway.settings import Oidc, Settings
from lipserve_jobs.queue.broker import BrokerOptions
from tests.support.gateways import Gateway, write_tenants
from tests.support.nats import NatsServer
from tests.support.sites import Answer, Asked, Site

JOB = {"video": "https://example.com/film.mp4", "speech": "https://example.com/speech.wav"}
RSA, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))
EC = ec.generate_private_key(ec.SECP256R1())


def test_a_key_tells_the_tenant(gateway: Gateway) -> None:
    with gateway.client("beta") as client:
        me = client.get("/v1/me").json()
    assert (me["tenant"], me["open_to_all"]) == ("beta", False)
    assert me["who"].startswith("key:")
    assert "key-beta" not in me["who"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer key-nobody"},
        {"Authorization": "Bearer"},
        {"Authorization": "key-acme"},
        {"Authorization": "Basic a2V5LWFjbWU="},
        {"Authorization": "Bearer " + "a." * 9000 + "b"},
        {"Cookie": "lipserve_session=x"},
    ],
)
def test_who_proves_nothing_is_nobody(gateway: Gateway, headers: dict[str, str]) -> None:
    with gateway.client() as client:
        for method, path in (
            ("GET", "/v1/jobs"),
            ("POST", "/v1/jobs"),
            ("POST", "/v1/files"),
            ("GET", "/v1/events"),
        ):
            response = client.request(method, path, headers=headers)
            assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
            assert response.headers["www-authenticate"].startswith("Bearer")


def test_the_page_has_a_session_that_scripts_cannot_read(gateway: Gateway) -> None:
    with gateway.client() as client:
        assert client.post("/v1/session", json={"key": "nothing"}).status_code == 401
        assert client.post("/v1/session", json={"key": 1}).status_code == 400
        response = client.post("/v1/session", json={"key": "key-acme"})
        cookie = response.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "secure" not in cookie
        https = client.post("/v1/session", json={"key": "key-acme"}, headers={"X-Forwarded-Proto": "https"})
        assert "secure" in https.headers["set-cookie"].lower()
        client.cookies.clear()
        client.post("/v1/session", json={"key": "key-acme"})
        assert client.get("/v1/me").json()["tenant"] == "acme"
        assert client.post("/v1/jobs", json=JOB).status_code == 201
        for headers in (
            {"Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "null"},
        ):
            response = client.post("/v1/jobs", json=JOB, headers=headers)
            assert (response.status_code, response.json()["code"]) == (403, "forbidden")
        assert client.post("/v1/jobs", json=JOB, headers={"Origin": gateway.url}).status_code == 201
        assert client.delete("/v1/session").status_code == 204
        assert client.get("/v1/me").status_code == 401


def test_a_forged_session_proves_nothing(gateway: Gateway) -> None:
    claims = {"tenant": "acme", "who": "key:", "exp": int(time.time()) + 1000, "aud": "lipserve_session"}
    for forged in (jwt.encode(claims, "s" * 64, "HS256"), jwt.encode(claims, None, "none")):
        with gateway.client(cookies={"lipserve_session": forged}) as client:
            assert client.get("/v1/me").status_code == 401


@pytest.fixture(scope="module")
def issuer() -> Iterator[Site]:
    """An issuer that publishes its keys."""
    keys = [
        {**json.loads(RSAAlgorithm.to_jwk(RSA.public_key())), "kid": "rsa", "use": "sig"},
        {**json.loads(ECAlgorithm.to_jwk(EC.public_key())), "kid": "ec"},
        {"kty": "strange", "kid": "other"},
        {**json.loads(RSAAlgorithm.to_jwk(OTHER.public_key())), "kid": "enc", "use": "enc"},
    ]

    def publish(came: Asked, answer: Answer) -> None:
        found: Any = {"keys": keys}
        if came.path == "/.well-known/openid-configuration":
            found = {"jwks_uri": site.url("/keys")}
        answer.whole(200, json.dumps(found).encode())

    with Site(publish) as site:
        yield site


@pytest.fixture(scope="module")
def trusting(nats: NatsServer, issuer: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("oidc")
    tenants = write_tenants(folder / "tenants.yaml", acme={"price_per_hour": 1.0})
    oidc = Oidc(issuer.url("/").rstrip("/"), "lipserve")
    with Gateway(Settings(BrokerOptions(nats.url), str(folder / "s"), tenants=tenants, oidc=oidc)) as running:
        yield running


def _token(issuer: Site, key: Any = RSA, algorithm: str = "RS256", kid: str = "rsa", **claims: Any) -> str:
    now = int(time.time())
    known = {
        "iss": issuer.url("/").rstrip("/"),
        "aud": "lipserve",
        "sub": "ann",
        "exp": now + 600,
        "tenant": "acme",
    }
    known = {name: value for name, value in {**known, **claims}.items() if value is not None}
    return jwt.encode(known, key, algorithm, headers={"kid": kid})


def _asks(gateway: Gateway, token: str) -> httpx.Response:
    with gateway.client() as client:
        return client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})


def test_a_token_of_the_issuer_tells_the_tenant(trusting: Gateway, issuer: Site) -> None:
    assert _asks(trusting, _token(issuer)).json() == {
        "tenant": "acme",
        "who": "token:ann",
        "open_to_all": False,
        "tiers": None,
    }
    token = _token(issuer, EC, "ES256", "ec", tenant="only-in-tokens", aud=["other", "lipserve"])
    assert _asks(trusting, token).json()["tenant"] == "only-in-tokens"
    assert _asks(trusting, "key-acme").json()["tenant"] == "acme"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1000},
        {"exp": None},
        {"nbf": int(time.time()) + 9999},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "others"},
        {"aud": None},
        {"sub": None},
        {"tenant": None},
        {"tenant": ""},
        {"tenant": "a.b"},
        {"tenant": "*"},
        {"tenant": "../acme"},
        {"tenant": ["acme"]},
        {"key": OTHER},
        {"key": OTHER, "kid": "enc"},
        {"key": OTHER, "kid": "unknown"},
        {"kid": "ec"},
        {"key": EC, "algorithm": "ES256", "kid": "rsa"},
        {"key": OTHER, "algorithm": "PS256"},
        {"key": None, "algorithm": "none"},
        {"key": "s" * 64, "algorithm": "HS256"},
    ],
)
def test_a_token_that_is_not_right_proves_nothing(
    trusting: Gateway, issuer: Site, claims: dict[str, Any]
) -> None:
    response = _asks(trusting, _token(issuer, **claims))
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")


def test_a_public_key_is_no_secret_to_sign_with(trusting: Gateway, issuer: Site) -> None:
    import hashlib
    import hmac

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def text(value: dict[str, Any] | bytes) -> bytes:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    body = (
        text({"alg": "HS256", "kid": "rsa"})
        + b"."
        + text(jwt.decode(_token(issuer), options={"verify_signature": False}))
    )
    token = body + b"." + text(hmac.new(pem, body, hashlib.sha256).digest())
    assert _asks(trusting, token.decode()).status_code == 401


def test_unknown_keys_do_not_make_the_issuer_be_asked_each_time(trusting: Gateway, issuer: Site) -> None:
    _asks(trusting, _token(issuer))
    asked = len(issuer.asked)
    for number in range(20):
        _asks(trusting, _token(issuer, OTHER, kid=f"k{number}"))
    assert len(issuer.asked) <= asked + 2


def test_a_damaged_token_proves_nothing(trusting: Gateway, issuer: Site) -> None:
    good = _token(issuer)
    for token in (good[:-4], good + "A", "a.b.c", "..", good.replace(".", "..", 1), "e30.e30.e30"):
        assert _asks(trusting, token).status_code == 401


@pytest.fixture(scope="module")
def local(nats: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(Settings(BrokerOptions(nats.url), str(tmp_path_factory.mktemp("local")))) as running:
        yield running


def test_on_one_machine_nobody_is_asked(local: Gateway) -> None:
    with local.client() as client:
        assert client.get("/v1/me").json() == {
            "tenant": "local",
            "who": "local",
            "open_to_all": True,
            "tiers": None,
        }
        assert client.post("/v1/jobs", json=JOB).status_code == 201
        assert client.post("/v1/session", json={}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_on_one_machine_other_pages_may_do_nothing(local: Gateway, headers: dict[str, str]) -> None:
    with local.client() as client:
        response = client.post("/v1/jobs", json=JOB, headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
        if "Host" in headers:
            assert client.get("/v1/jobs", headers=headers).status_code == 403


def test_a_key_that_is_taken_away_ends_its_sessions(
    nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipserve_jobs.records.roster.LOOK_SECONDS", 0.0)
    tenants = write_tenants(tmp_path / "tenants.yaml", acme={}, beta={})
    settings = Settings(BrokerOptions(nats.url), str(tmp_path / "s"), tenants=tenants)
    with Gateway(settings) as gateway, gateway.client() as client:
        client.post("/v1/session", json={"key": "key-acme"})
        assert client.get("/v1/me").status_code == 200
        write_tenants(tenants, beta={})
        assert client.get("/v1/me").status_code == 401
