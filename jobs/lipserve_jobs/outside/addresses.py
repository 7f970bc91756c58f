"""Which addresses of the network a caller may send the service to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

from lipserve.errors import ConnectError, FetchError

RESOLVE_SECONDS = 10.0
_PASSING = (socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM)

# Not public, of IANA's registries of special-purpose addresses, and what clouds keep for their own machines.
_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's wire server
        "169.254.0.0/16",  # link-local: most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",
    )
)
_PUBLIC_V6 = ipaddress.IPv6Network(
    "2000::/3"
)  # so no mapped IPv4, no NAT64, no ULA, no link-local, no multicast
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo and other protocols' own
        "2001:db8::/32",
        "2002::/16",  # 6to4: any IPv4 address inside
        "3fff::/20",
    )
)


def is_public(address: str) -> bool:
    """Return whether an IP address, in its usual text, is of the public internet."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return not any(found in network for network in _REFUSED_V4)
    public = found.scope_id is None and found in _PUBLIC_V6
    return public and not any(found in network for network in _REFUSED_V6)


def is_allowed(host: str, allowed: Sequence[str] | None) -> bool:
    """Return whether a list allows a host: by name, or by `.example.com` what lies below; None allows all."""
    if allowed is None:
        return True
    name = host.lower().rstrip(".")
    for entry in allowed:
        wanted = entry.lower().rstrip(".")
        if name == wanted or (wanted.startswith(".") and name.endswith(wanted)):
            return True
    return False


def check_host(host: str, allowed: Sequence[str] | None, private: bool) -> None:
    """Raise FetchError where a host is refused as it stands; a name's addresses are checked by `resolve`."""
    if not is_allowed(host, allowed):
        raise FetchError(f"The host {host} is not on the list of allowed hosts.", "Ask the operator.")
    numeric = ":" in host or host.rpartition(".")[2].isdecimal()
    if numeric and not (private or is_public(host)):
        raise not_public(host)


def not_public(host: str) -> FetchError:
    return FetchError(
        f"The host {host} has an address that is not of the public internet.",
        "Name a public host, or send the file itself.",
    )


async def resolve(host: str, port: int, private: bool) -> list[str]:
    """Return the IP addresses of a host, in the order in which they are to be tried.

    Args:
        private: whether addresses that are not public may be among them.

    Raises:
        FetchError: the host does not exist, or has an address that is not public.
        ConnectError: the name servers do not answer.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except TimeoutError as error:
        raise ConnectError(f"The name {host} is not resolved in time.", "Try again later.") from error
    except socket.gaierror as error:
        if error.errno in _PASSING:
            raise ConnectError(f"The name {host} cannot be resolved now.", "Try again later.") from error
        raise FetchError(f"The host {host} does not exist.", "Correct the address.") from error
    except UnicodeError as error:
        raise FetchError("The host of the address is no name.", "Correct the address.") from error
    found = list(dict.fromkeys(str(info[4][0]) for info in infos))
    if not found or not (private or all(map(is_public, found))):
        raise not_public(host)
    return found
