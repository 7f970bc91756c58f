"""Ports of this machine that nobody listens on, each given once."""

from __future__ import annotations

import socket

import pytest

from tests.support import ports
from tests.support.ports import free_port

HOST = "127.0.0.1"


def test_no_port_is_given_twice_while_nobody_listens_yet() -> None:
    found = [free_port(HOST) for _ in range(200)]
    assert len(set(found)) == 200
    assert all(port < 32_768 for port in found)


def test_a_taken_port_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = free_port(HOST), free_port(HOST)
    monkeypatch.setattr(ports, "_ports", iter((first, second)))
    with socket.socket() as taken:
        taken.bind((HOST, first))
        assert free_port(HOST) == second


def test_a_port_is_free_on_every_address() -> None:
    port = free_port(HOST, "127.0.0.2")
    for address in (HOST, "127.0.0.2"):
        with socket.socket() as end:
            end.bind((address, port))
