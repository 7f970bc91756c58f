"""Arguments that several commands share; those of `Options` come from its own fields."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from lipserve.contracts import DEFAULT_TIER, TIER_NAMES
from lipserve.options import Options
from lipserve_client._client import Client
from lipserve_client._config import DEFAULT_URL, TLS
from lipserve_client._fleet import RETRIES
from lipserve_client._headers import HEADERS_VARIABLE, read_headers
from lipserve_client._transports import SharedMemory

_TYPES: dict[Any, Callable[[str], Any]] = {int: int, float: float}


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add how to reach the servers."""
    group = parser.add_argument_group("server")
    group.add_argument(
        "--url",
        action="append",
        metavar="HOST:PORT",
        help=f"Triton's gRPC address; repeat it, or use commas, to share the work (default {DEFAULT_URL})",
    )
    group.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="gRPC metadata of every call, a gateway's key for example; may be repeated. @FILE reads such "
        f"lines from a file, and the variable {HEADERS_VARIABLE} may hold some: neither shows in `ps`",
    )
    group.add_argument("--tls", action="store_true", help="encrypt, trusting the system's authorities")
    group.add_argument("--tls-ca", metavar="PEM", help="encrypt, trusting these authorities only")
    group.add_argument("--tls-cert", metavar="PEM", help="this client's certificate (mutual TLS)")
    group.add_argument("--tls-key", metavar="PEM", help="the key of that certificate")
    group.add_argument("--tls-name", metavar="HOST", help="that the server's certificate is for")


def add_requests(parser: argparse.ArgumentParser, retries: int = RETRIES) -> None:
    """Add how requests are sent."""
    group = parser.add_argument_group("requests")
    group.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="for the whole call (default: no limit)"
    )
    group.add_argument(
        "--retries",
        type=int,
        default=retries,
        metavar="N",
        help="how often a request is sent again where that can help (default %(default)s)",
    )
    group.add_argument(
        "--shm",
        choices=get_args(SharedMemory),
        default="none",
        help="shared memory with a server on this host: none, system (/dev/shm) or cuda (default none)",
    )
    group.add_argument(
        "--concurrency",
        type=int,
        default=3,
        metavar="N",
        help="segments of one clip that are sent at once (default %(default)s)",
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every field of `Options`, those of a tier in a group of their own."""
    parser.add_argument_group("tier").add_argument(
        "--tier", choices=TIER_NAMES, default=DEFAULT_TIER, help="who makes the lips (default %(default)s)"
    )
    groups = {"": parser.add_argument_group("options of every tier")}
    for name, field in Options.model_fields.items():
        if name == "segment":
            continue
        owner, _, _ = (field.description or "").partition(":")
        if owner not in TIER_NAMES:
            owner = ""
        elif owner not in groups:
            groups[owner] = parser.add_argument_group(f"options of the tier {owner}")
        _add_option(groups[owner], name, field, (field.description or "").removeprefix(f"{owner}: "))


def _add_option(group: argparse._ArgumentGroup, name: str, field: FieldInfo, text: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    common: dict[str, Any] = {"dest": f"option_{name}", "default": argparse.SUPPRESS}
    if field.annotation is bool:
        group.add_argument(flag, **common, action="store_true", help=text)
        return
    kind, choices = _kind(field.annotation)
    among = f": {', '.join(map(str, choices))}" if choices and len(choices) > 4 else ""
    default = "" if field.default is None else f" (default {field.default})"
    group.add_argument(
        flag,
        **common,
        type=kind,
        choices=choices,
        metavar=None if choices and not among else _metavar(name, kind),
        help=f"{text}{among}{default}".replace("%", "%%"),
    )


def _metavar(name: str, kind: Callable[[str], Any]) -> str:
    """Return what stands for a value: its unit, or its kind."""
    if name.endswith("_ms"):
        return "MS"
    return {int: "N", float: "X"}.get(kind, "NAME") if name != "face" else "FACE"  # type: ignore[call-overload]


def _kind(annotation: Any) -> tuple[Callable[[str], Any], tuple[Any, ...] | None]:
    """Return what reads the text of a flag, and what it may be; of an optional field as of any."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        return type(choices[0]), choices
    return _TYPES.get(annotation, str), None


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of `Options` that were given."""
    prefix = "option_"
    return {
        name.removeprefix(prefix): value for name, value in vars(arguments).items() if name.startswith(prefix)
    }


def client_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what `Client` and `AsyncClient` are to be made with."""
    tls = (arguments.tls_ca, arguments.tls_cert, arguments.tls_key, arguments.tls_name)
    found: dict[str, Any] = {
        "urls": arguments.url or DEFAULT_URL,
        "tls": TLS(*tls) if arguments.tls or any(tls) else None,
        "headers": read_headers(arguments.header),
    }
    if "shm" in arguments:
        found |= {
            "timeout": arguments.timeout,
            "retries": arguments.retries,
            "shm": arguments.shm,
            "concurrency": arguments.concurrency,
        }
    return found


def open_client(arguments: argparse.Namespace) -> Client:
    """Return the client that the arguments ask for."""
    return Client(**client_arguments(arguments))
