"""TLS and mutual TLS over real sockets, with certificates made for the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipserve import TLS, Client
from lipserve.errors import ConnectError
from tests.support.scripted_triton import Authority, StartTriton

FACES = np.zeros((1, 4, 4, 3), dtype=np.uint8)
SPEECH = np.zeros(1600, dtype=np.float32)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_tls(start_triton: StartTriton, authority: Authority) -> None:
    triton = start_triton(authority.server(mutual=False))
    with Client(triton.url, tls=TLS(ca=authority.folder / "ca.pem")) as client:
        assert np.array_equal(client.generate(FACES, SPEECH), FACES)


def test_a_certificate_of_another_name_needs_that_name(start_triton: StartTriton, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "lipserve.video.svc")
    triton = start_triton(authority.server(mutual=False))
    with Client(triton.url, tls=TLS(ca=tmp_path / "ca.pem", name="lipserve.video.svc")) as client:
        assert np.array_equal(client.generate(FACES, SPEECH), FACES)
    with (
        Client(triton.url, tls=TLS(ca=tmp_path / "ca.pem"), retries=0) as client,
        pytest.raises(ConnectError),
    ):
        client.generate(FACES, SPEECH)


def test_mutual_tls(start_triton: StartTriton, authority: Authority) -> None:
    triton = start_triton(authority.server(mutual=True))
    folder = authority.folder
    tls = TLS(folder / "ca.pem", folder / "client.pem", folder / "client.key")
    with Client(triton.url, tls=tls) as client:
        assert np.array_equal(client.generate(FACES, SPEECH), FACES)


@pytest.mark.parametrize("tls", [None, "ca", "stranger"])
def test_a_client_without_a_known_certificate_is_refused(
    start_triton: StartTriton, authority: Authority, tmp_path: Path, tls: str | None
) -> None:
    triton = start_triton(authority.server(mutual=True))
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    Authority(stranger)
    given = {
        None: None,
        "ca": TLS(tmp_path / "ca.pem"),
        "stranger": TLS(tmp_path / "ca.pem", stranger / "client.pem", stranger / "client.key"),
    }[tls]
    with (
        Client(triton.url, tls=given, retries=0) as client,
        pytest.raises(ConnectError, match=r"TLS|cut off"),
    ):
        client.generate(FACES, SPEECH)
    assert triton.calls == []


def test_a_server_of_another_authority_is_not_trusted(
    start_triton: StartTriton, authority: Authority, tmp_path: Path
) -> None:
    triton = start_triton(authority.server(mutual=False))
    other = tmp_path / "other"
    other.mkdir()
    Authority(other)
    with Client(triton.url, tls=TLS(ca=other / "ca.pem"), retries=0) as client, pytest.raises(ConnectError):
        client.generate(FACES, SPEECH)
    assert triton.calls == []
