from __future__ import annotations

from pathlib import Path

import pytest

from lipserve.errors import OptionsError, SetupError
from lipserve_client._config import TLS, is_loopback, parse_urls


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("host:8001", ("host:8001",)),
        ("a:1, b:2,,a:1", ("a:1", "b:2")),
        (["grpc://a:1", "b:2/"], ("a:1", "b:2")),
        ("[::1]:8001", ("[::1]:8001",)),
    ],
)
def test_addresses(given: str | list[str], expected: tuple[str, ...]) -> None:
    assert parse_urls(given) == expected


@pytest.mark.parametrize(
    "given", ["", " , ", "host", "host:", ":8001", "http://host:8000", "host:70000", "h:x"]
)
def test_a_text_that_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(OptionsError, match=r"8001"):
        parse_urls(given)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8001", "127.1.2.3:8001", "[::1]:8001", "localhost:1", "LocalHost:1"]
)
def test_addresses_of_this_machine_are_loopback(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url", ["10.0.0.1:8001", "[fe80::1]:8001", "gpu1:8001", "localhost.example.com:8001"]
)
def test_addresses_of_other_hosts_are_not_loopback(url: str) -> None:
    assert not is_loopback(url)


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(OptionsError, match="both"):
        TLS(cert="client.pem")


def test_an_unreadable_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"absent\.pem"):
        TLS(ca=tmp_path / "absent.pem").credentials()
