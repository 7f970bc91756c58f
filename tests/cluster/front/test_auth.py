"""Keys and tokens at Envoy."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tritonclient.utils import InferenceServerException

from tests.cluster.proxy import mount, only
from tests.support.waiting import until

pytestmark = pytest.mark.serve

ISSUER, AUDIENCE = "https://login.example.com/", "lipserve"
KEY, OTHER = "studio-0123456789abcdef", "archive-0123456789abcdef"


def _keys(render: Any, **keys: str) -> dict[str, bytes | str]:
    """Return the files of the Secret that the chart makes of these keys."""
    objects = render({"envoy": {"enabled": True, "auth": {"mode": "apiKey", "apiKey": {"keys": keys}}}})
    files: dict[str, bytes | str] = only(objects, "Secret", "lipserve-api-keys")["stringData"]
    return files


def _api_key(**more: Any) -> dict[str, Any]:
    return {"envoy": {"auth": {"mode": "apiKey", "apiKey": {"existingSecret": "keys"}, **more}}}


def test_api_keys(render: Any, pods: Any, proxy: Any, caller: Any) -> None:
    envoy = proxy(_api_key(), {"api-keys": _keys(render, studio=KEY, archive=OTHER)})
    for headers in ({"x_api_key": KEY}, {"x_api_key": OTHER}, {"authorization": f"Bearer {KEY}"}):
        assert caller(envoy.url, **headers).infer() == ""
    for headers in ({}, {"x_api_key": "guessed"}, {"x_api_key": ""}, {"authorization": f"Basic {KEY}"}):
        client = caller(envoy.url, **headers)
        assert client.infer().startswith("UNAUTHENTICATED"), headers
        assert client.client.is_server_ready()
        with pytest.raises(InferenceServerException, match="UNAUTHENTICATED"):
            client.client.get_server_metadata(headers=client.headers)


def test_health_may_ask_for_a_key_too(render: Any, pods: Any, proxy: Any, caller: Any) -> None:
    envoy = proxy(_api_key(openHealth=False), {"api-keys": _keys(render, studio=KEY)})
    client = caller(envoy.url)
    with pytest.raises(InferenceServerException, match="UNAUTHENTICATED"):
        client.client.is_server_live()
    assert client.client.is_server_live(headers={"x-api-key": KEY})


def test_the_log_names_the_client_and_no_key(render: Any, pods: Any, proxy: Any, caller: Any) -> None:
    envoy = proxy(_api_key(), {"api-keys": _keys(render, studio=KEY)})
    assert caller(envoy.url, x_api_key=KEY, x_lipserve_client="archive").infer() == ""
    envoy.stop()
    text = (envoy.folder / "access.log").read_text()
    assert json.loads(text)["client"] == "studio"
    assert KEY not in text


def test_each_client_has_a_bucket_of_its_own(render: Any, pods: Any, proxy: Any, caller: Any) -> None:
    limit = {"perClient": {"enabled": True, "requestsPerSecond": 1, "burst": 5}}
    values = _api_key() | {"envoy": {**_api_key()["envoy"], "rateLimit": limit}}
    envoy = proxy(values, {"api-keys": _keys(render, studio=KEY, archive=OTHER)})
    hasty, other = (caller(envoy.url, x_api_key=key) for key in (KEY, OTHER))
    outcomes = [hasty.infer() for _ in range(20)]
    assert 5 <= outcomes.count("") <= 12
    assert "UNAVAILABLE too many requests: try again in a few seconds" in outcomes
    assert other.infer() == ""


def test_a_changed_secret_is_used_without_a_restart(render: Any, pods: Any, proxy: Any, caller: Any) -> None:
    envoy = proxy(_api_key(), {"api-keys": _keys(render, studio=KEY)})
    old, new = caller(envoy.url, x_api_key=KEY), caller(envoy.url, x_api_key=OTHER)
    assert (old.infer(), new.infer()[:15]) == ("", "UNAUTHENTICATED")
    mount(envoy.folder / "secrets/api-keys", _keys(render, studio=OTHER))
    until(lambda: not new.infer(), "the new key is taken")
    assert (old.infer()[:15], new.infer()) == ("UNAUTHENTICATED", "")


def test_a_secret_that_is_no_configuration_lets_nobody_in(pods: Any, proxy: Any, caller: Any) -> None:
    envoy = proxy(_api_key(), {"api-keys": {"api-keys.yaml": "studio: 0123456789abcdef"}})
    assert caller(envoy.url, x_api_key="0123456789abcdef").infer().startswith(("INTERNAL", "UNKNOWN"))


def test_the_secret_of_the_chart_holds_the_keys(render: Any) -> None:
    (filter_,) = yaml.safe_load(_keys(render, studio=KEY)["api-keys.yaml"])["resources"]
    assert filter_["typed_config"]["credentials"] == [{"client": "studio", "key": KEY}]


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Login:
    """An issuer of tokens."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        public = self._key.public_key().public_numbers()
        self.jwks = json.dumps(
            {
                "keys": [
                    {
                        "kty": "RSA",
                        "kid": "a",
                        "alg": "RS256",
                        "n": _number(public.n),
                        "e": _number(public.e),
                    }
                ]
            }
        )

    def token(self, algorithm: str = "RS256", **claims: Any) -> str:
        known = {"iss": ISSUER, "aud": AUDIENCE, "sub": "studio", "exp": int(time.time()) + 300} | claims
        head = {"alg": algorithm, "kid": "a", "typ": "JWT"}
        known = {name: value for name, value in known.items() if value is not None}
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (head, known))
        signed = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_encoded(signed) if algorithm == 'RS256' else ''}"


def _jwt(login: Login) -> dict[str, Any]:
    jwt = {"issuer": ISSUER, "audiences": [AUDIENCE], "jwks": {"inline": login.jwks}}
    return {"envoy": {"auth": {"mode": "jwt", "jwt": jwt}}}


def test_tokens(pods: Any, proxy: Any, caller: Any) -> None:
    login, stranger = Login(), Login()
    envoy = proxy(_jwt(login))

    def outcome(token: str) -> str:
        return str(caller(envoy.url, authorization=f"Bearer {token}").infer())

    assert outcome(login.token()) == ""
    assert outcome(login.token(aud=[AUDIENCE, "another"])) == ""
    refused = {
        "expired": login.token(exp=int(time.time()) - 120),
        "without an end": login.token(exp=None),
        "another audience": login.token(aud="another"),
        "another issuer": login.token(iss="https://elsewhere.example.com/"),
        "another's key": stranger.token(),
        "unsigned": login.token("none"),
        "no token": "nonsense",
    }
    for name, token in refused.items():
        assert outcome(token).startswith(("UNAUTHENTICATED", "PERMISSION_DENIED")), name
    assert caller(envoy.url).infer().startswith("UNAUTHENTICATED")
    assert caller(envoy.url).client.is_server_live()
    envoy.stop()
    clients = [json.loads(line)["client"] for line in (envoy.folder / "access.log").read_text().splitlines()]
    assert clients[:2] == ["studio", "studio"]


class _Keys(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.jwks.encode())  # type: ignore[attr-defined]

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def issuer(authority: trustme.CA, tmp_path: Path) -> Iterator[tuple[Login, dict[str, Any]]]:
    """An issuer whose public keys are fetched over HTTPS, and the values that name it."""
    login = Login()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Keys)
    server.jwks = login.jwks  # type: ignore[attr-defined]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "issuer-ca.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    uri = f"https://localhost:{server.server_address[1]}/keys"
    jwks = {"uri": uri, "caFile": str(tmp_path / "issuer-ca.pem")}
    yield login, {"mode": "jwt", "jwt": {"issuer": ISSUER, "audiences": [AUDIENCE], "jwks": jwks}}
    server.shutdown()
    thread.join()
    server.server_close()


def test_public_keys_are_fetched(issuer: Any, pods: Any, proxy: Any, caller: Any) -> None:
    login, auth = issuer
    envoy = proxy({"envoy": {"auth": auth}})
    assert caller(envoy.url, authorization=f"Bearer {login.token()}").infer() == ""
    assert caller(envoy.url, authorization=f"Bearer {Login().token()}").infer().startswith("UNAUTH")


def test_public_keys_of_who_is_not_vouched_for_are_not_taken(
    issuer: Any, tmp_path: Path, pods: Any, proxy: Any, caller: Any
) -> None:
    login, auth = issuer
    trustme.CA().cert_pem.write_to_path(tmp_path / "issuer-ca.pem")
    envoy = proxy({"envoy": {"auth": auth}})
    assert caller(envoy.url, authorization=f"Bearer {login.token()}").infer().startswith("UNAUTH")
