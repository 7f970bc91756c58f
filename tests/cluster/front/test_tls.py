"""TLS at Envoy and mutual TLS between Envoy and Triton, with certificates made for the test."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import trustme

from tests.cluster.front.conftest import ADDRESSES, Pod
from tests.cluster.proxy import free_port, mount
from tests.support.waiting import until

pytestmark = pytest.mark.serve

INTERNAL = "lipserve-headless.lipserve.svc"


def _credentials(ca: trustme.CA, own: dict[str, bytes] | None = None) -> grpc.ChannelCredentials:
    key, chain = (own["tls.key"], own["tls.crt"]) if own else (None, None)
    return grpc.ssl_channel_credentials(ca.cert_pem.bytes(), key, chain)


def test_tls(pods: Any, proxy: Any, caller: Any, authority: trustme.CA, pem: Any) -> None:
    envoy = proxy({"tls": {"enabled": True, "secretName": "front"}}, {"front": pem(authority, "127.0.0.1")})
    assert caller(envoy.url, _credentials(authority)).infer() == ""
    assert caller(envoy.url).infer(timeout=3).startswith(("UNAVAILABLE", "DEADLINE_EXCEEDED"))
    assert (
        caller(envoy.url, _credentials(trustme.CA()))
        .infer(timeout=3)
        .startswith(("UNAVAILABLE", "DEADLINE_EXCEEDED"))
    )


def test_mutual_tls(pods: Any, proxy: Any, caller: Any, authority: trustme.CA, pem: Any) -> None:
    clients, strangers = trustme.CA(), trustme.CA()
    envoy = proxy(
        {
            "tls": {
                "enabled": True,
                "secretName": "front",
                "clients": {"required": True, "caSecretName": "clients"},
            }
        },
        {
            "front": pem(authority, "127.0.0.1"),
            "front-clients": {"ca.crt": clients.cert_pem.bytes()},
        },
    )
    known = _credentials(authority, pem(clients, "studio@x.test"))
    assert caller(envoy.url, known).infer() == ""
    for stranger in (
        _credentials(authority),
        _credentials(authority, pem(strangers, "studio@x.test")),
    ):
        assert caller(envoy.url, stranger).infer(timeout=3).startswith(("UNAVAILABLE", "DEADLINE"))


def _serial(url: str) -> int:
    context = ssl._create_unverified_context()
    host, port = url.split(":")
    with socket.create_connection((host, int(port)), 5) as plain, context.wrap_socket(plain) as tls:
        from cryptography import x509

        shown = tls.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown).serial_number


def test_a_renewed_certificate_is_shown_without_a_restart(
    pods: Any, proxy: Any, caller: Any, authority: trustme.CA, pem: Any
) -> None:
    values = {"tls": {"enabled": True, "secretName": "front"}}
    envoy = proxy(values, {"front": pem(authority, "127.0.0.1")})
    held = caller(envoy.url, _credentials(authority))
    assert held.infer() == ""
    before = _serial(envoy.url)
    mount(envoy.folder / "secrets/front", pem(authority, "127.0.0.1"))
    until(lambda: _serial(envoy.url) != before, "the new certificate is shown")
    assert held.infer() == ""  # on the connection that it had
    assert caller(envoy.url, _credentials(authority)).infer() == ""


@pytest.fixture(scope="module")
def private(
    tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA, pem: Any
) -> Iterator[tuple[dict[str, int], Pod]]:
    """A pod whose Triton speaks mutual TLS."""
    folder = tmp_path_factory.mktemp("private")
    own = {"grpc": free_port(ADDRESSES[0]), "health": free_port(ADDRESSES[0])}
    for name, content in pem(authority, INTERNAL).items():
        (folder / name).write_bytes(content)
    pod = Pod(
        ADDRESSES[0],
        own,
        folder,
        [
            "--grpc-use-ssl-mutual=true",
            f"--grpc-server-cert={folder / 'tls.crt'}",
            f"--grpc-server-key={folder / 'tls.key'}",
            f"--grpc-root-cert={folder / 'ca.crt'}",
        ],
    )
    try:
        pod.wait(lambda: any("Started GRPCInferenceService" in line for line in pod.log))
        yield own, pod
    finally:
        pod.close()


def test_mutual_tls_to_triton(
    private: Any, names: Any, render: Any, proxy: Any, caller: Any, authority: trustme.CA, pem: Any
) -> None:
    own, pod = private
    names.addresses = [ADDRESSES[0]]
    internal = {"enabled": True, "serverSecretName": "server", "clientSecretName": "client"}
    values = {"tls": {"internal": internal}}
    envoy = proxy(values, {"internal": pem(authority, "lipserve-envoy")}, own)
    assert caller(envoy.url).infer() == ""
    assert caller(pod.url).infer(timeout=3).startswith(("UNAVAILABLE", "DEADLINE"))
    assert envoy.stat("cluster.triton.ssl.handshake") > 0
    assert envoy.stat("cluster.triton.health_check.success") > 0  # over plain HTTP, beside TLS

    stranger = proxy(values, {"internal": pem(trustme.CA(), "lipserve-envoy")}, own)
    assert caller(stranger.url).infer().startswith("UNAVAILABLE")


def test_envoy_calls_no_triton_that_shows_another_name(
    private: Any, names: Any, proxy: Any, caller: Any, authority: trustme.CA, pem: Any
) -> None:
    own, _ = private
    names.addresses = [ADDRESSES[0]]
    internal = {"enabled": True, "serverSecretName": "server", "clientSecretName": "client"}
    envoy = proxy(
        {"tls": {"internal": internal}},
        {"internal": pem(authority, "lipserve-envoy")},
        own,
        {INTERNAL: "lipserve-headless.elsewhere.svc"},
    )
    assert caller(envoy.url).infer().startswith("UNAVAILABLE")
