"""Addresses of the internet, and those that callers must not reach."""

from __future__ import annotations

import asyncio

import pytest

from lipserve.errors import FetchError
from lipserve_jobs.outside.addresses import is_allowed, is_public, resolve

# fmt: off
PRIVATE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16",
    "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "239.1.1.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0",
    "2600::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::1", "2001::1", "2001:db8::1",
    "3fff::1", "100::1", "::7f00:1", "word", "1.2.3", "0177.0.0.1",
]
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1",
    "2606:4700::1111", "2a00:1450::1",
]
# fmt: on


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_of_the_internet_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.1", "::1", "0", "::ffff:10.0.0.1"],
)
def test_every_way_to_write_this_machine_is_refused(host: str) -> None:
    with pytest.raises(FetchError, match=r"not of the public internet|does not exist"):
        asyncio.run(resolve(host, 80, private=False))


def test_one_private_address_among_public_ones_refuses_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(host: str, port: int, *_: object, **__: object) -> list[object]:
        return [(2, 1, 6, "", (address, port)) for address in ("8.8.8.8", "10.0.0.8")]

    monkeypatch.setattr("socket.getaddrinfo", both)
    with pytest.raises(FetchError, match=r"both\.test has an address that is not"):
        asyncio.run(resolve("both.test", 443, private=False))
    assert asyncio.run(resolve("both.test", 443, private=True)) == ["8.8.8.8", "10.0.0.8"]


def test_a_list_allows_names_and_what_lies_below() -> None:
    allowed = ("media.example.com", ".cdn.example")
    assert is_allowed("MEDIA.example.com.", allowed)
    assert is_allowed("a.b.cdn.example", allowed)
    assert not is_allowed("cdn.example", allowed)
    assert not is_allowed("evilcdn.example", allowed)
    assert not is_allowed("media.example.com.evil.example", allowed)
    assert not is_allowed("anything.example", ())
    assert is_allowed("anything.example", None)
