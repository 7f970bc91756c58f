"""Connection settings of a client: addresses, TLS, channel options."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import grpc

from lipserve.errors import OptionsError, SetupError

DEFAULT_URL = "127.0.0.1:8001"
MAX_MESSAGE_BYTES = 2**31 - 1  # gRPC counts a message's bytes in a signed 32-bit integer
REQUEST_SECONDS = 600.0  # the longest that one request may take, where no shorter deadline is given
CONTROL_SECONDS = 10.0  # the longest that a question about the server's state may take
REACH_SECONDS = 3.0  # a server that has not accepted a connection by then counts as absent


@dataclass(frozen=True)
class TLS:
    """PEM files of an encrypted connection.

    Attributes:
        ca: certificates that sign the server's; None: those that the system trusts.
        cert, key: the client's own certificate chain and private key, both or neither (mutual TLS).
        name: that the server's certificate is for; None: the address's. Of a tunnel's end they differ.
    """

    ca: str | PathLike[str] | None = None
    cert: str | PathLike[str] | None = None
    key: str | PathLike[str] | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise OptionsError(
                "Mutual TLS needs a certificate and its key.", "Give both cert and key, or neither."
            )

    def credentials(self) -> grpc.ChannelCredentials:
        """Return gRPC's form of these files, or raise SetupError where one cannot be read."""
        return grpc.ssl_channel_credentials(_read(self.ca), _read(self.key), _read(self.cert))

    def channel_options(self) -> list[tuple[str, str]]:
        """Return the other options of a gRPC channel."""
        return [("grpc.ssl_target_name_override", self.name)] if self.name else []


def _read(path: str | PathLike[str] | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SetupError(
            f"Cannot read the TLS file {path}: {error.strerror}.", "Give a PEM file that can be read."
        ) from error


def parse_urls(urls: str | Sequence[str]) -> tuple[str, ...]:
    """Return the addresses in `urls` (one, several, or several with commas), or raise OptionsError."""
    texts = [urls] if isinstance(urls, str) else list(urls)
    found = tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
    if not found:
        raise OptionsError("No server address is given.", f"Give an address such as {DEFAULT_URL}.")
    return tuple(dict.fromkeys(_address(url) for url in found))


def is_loopback(url: str) -> bool:
    """Tell whether the address host:port is this machine's own: localhost, 127.0.0.0/8, ::1."""
    host = url.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host.lower() == "localhost"


def _address(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if separator and scheme != "grpc":
        raise OptionsError(
            f"{url!r} is not a gRPC address.", f"Use host:port of Triton's gRPC port, such as {DEFAULT_URL}."
        )
    address = rest if separator else url
    host, _, port = address.rstrip("/").rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise OptionsError(
            f"{url!r} does not consist of a host and a port.", f"Use host:port, such as {DEFAULT_URL}."
        )
    return f"{host}:{port}"
