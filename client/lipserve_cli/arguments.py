"""Arguments that several commands share; those of `Options` come from its own fields."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from lipserve.contracts import DEFAULT_TIER, TIER_NAMES
from lipserve.errors import OptionsError
from lipserve.options import MAX_OPTIONS, Consent, Options
from lipserve.provenance.certificate import CERTIFICATE_VARIABLE, KEY_VARIABLE, TIMESTAMP_VARIABLE
from lipserve_client._client import Client
from lipserve_client._config import DEFAULT_URL, TLS
from lipserve_client._fleet import RETRIES
from lipserve_client._headers import HEADERS_VARIABLE, read_headers
from lipserve_client._provenance import Provenance
from lipserve_client._transports import SharedMemory

_TYPES: dict[Any, Callable[[str], Any]] = {int: int, float: float}


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the connection: address, metadata, TLS."""
    group = parser.add_argument_group("server")
    group.add_argument(
        "--url",
        action="append",
        metavar="HOST:PORT",
        help="gRPC address of Triton; several, repeated or with commas, share the work "
        f"(default {DEFAULT_URL})",
    )
    group.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="gRPC metadata for every call, such as a gateway's API key; repeatable. To keep it out of the "
        f"process list, use @FILE (one NAME=VALUE per line) or the environment variable {HEADERS_VARIABLE}",
    )
    group.add_argument(
        "--tls", action="store_true", help="use TLS; trust the system's certificate authorities"
    )
    group.add_argument(
        "--tls-ca", metavar="PEM", help="use TLS; trust only the certificate authorities of this file"
    )
    group.add_argument("--tls-cert", metavar="PEM", help="client certificate, for mutual TLS")
    group.add_argument("--tls-key", metavar="PEM", help="private key of the client certificate")
    group.add_argument(
        "--tls-name", metavar="HOST", help="host name in the server's certificate (default: that of --url)"
    )


def add_requests(parser: argparse.ArgumentParser, retries: int = RETRIES) -> None:
    """Add the flags of requests: timeout, retries, shared memory, concurrency."""
    group = parser.add_argument_group("requests")
    group.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="time limit of the whole call (default: none)"
    )
    group.add_argument(
        "--retries",
        type=int,
        default=retries,
        metavar="N",
        help="most times that a failed request is sent again, if another try can help (default %(default)s)",
    )
    group.add_argument(
        "--shm",
        choices=get_args(SharedMemory),
        default="none",
        help="shared memory with a server on this machine: none, system (/dev/shm) or cuda (default none)",
    )
    group.add_argument(
        "--concurrency",
        type=int,
        default=3,
        metavar="N",
        help="segments of one clip in flight at the same time (default %(default)s)",
    )


def add_provenance(parser: argparse.ArgumentParser) -> None:
    """Add the flags of who signs the result."""
    group = parser.add_argument_group("provenance")
    group.add_argument(
        "--certificate",
        metavar="PEM",
        help="certificate chain that signs the result, the signer's own first (default: that of the "
        f"environment variable {CERTIFICATE_VARIABLE}, else one that LipServe makes itself and that says so)",
    )
    group.add_argument(
        "--private-key", metavar="PEM", help=f"its private key, unencrypted (default: {KEY_VARIABLE})"
    )
    group.add_argument(
        "--unsigned",
        choices=("refuse", "warn"),
        help="if the result cannot be signed: refuse to make it (default with a certificate), or warn",
    )
    group.add_argument(
        "--timestamp-url",
        metavar="URL",
        help="time-stamp authority (RFC 3161) to ask when it was signed, so that the result stays valid once "
        f"the certificate has expired (default: {TIMESTAMP_VARIABLE}, else nobody is asked)",
    )
    group.add_argument(
        "--no-provenance", action="store_true", help="write no manifest of what was made, and of what"
    )


def provenance_of(arguments: argparse.Namespace) -> Provenance | bool:
    """Return what `add_provenance` has added, as a client takes it."""
    if arguments.no_provenance:
        return False
    found = Provenance.of(True)
    if arguments.certificate or arguments.private_key:
        found = replace(found, certificate=arguments.certificate, private_key=arguments.private_key)
    if arguments.timestamp_url:
        found = replace(found, timestamp_url=arguments.timestamp_url)
    return replace(found, policy=arguments.unsigned) if arguments.unsigned else found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every field of `Options`; the options of one tier form a group."""
    parser.add_argument_group("tier").add_argument(
        "--tier", choices=TIER_NAMES, default=DEFAULT_TIER, help="generator of the lips (default %(default)s)"
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
    """Return the placeholder of a value in the help text: its unit, or its type."""
    if name.endswith("_ms"):
        return "MS"
    named = {"face": "FACE", "mark": "TEXT", "invisible_mark": "NUMBER", "consent": "JSON"}
    return named.get(name) or {int: "N", float: "X"}.get(kind, "NAME")  # type: ignore[call-overload]


def _kind(annotation: Any) -> tuple[Callable[[str], Any], tuple[Any, ...] | None]:
    """Return the converter of a flag's text and its choices, if any; `X | None` counts as X."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        return type(choices[0]), choices
    return _TYPES.get(annotation, str), None


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of `Options` that the command line sets.

    Raises:
        OptionsError: the file of --consent is no record of consent.
    """
    prefix = "option_"
    found = {
        name.removeprefix(prefix): value for name, value in vars(arguments).items() if name.startswith(prefix)
    }
    if "consent" in found:
        found["consent"] = _consent(found["consent"])
    return found


def _consent(path: str) -> Consent | None:
    """Return the record of consent in a file, or raise OptionsError."""
    try:
        with Path(path).open("rb") as file:
            content = json.loads(file.read(MAX_OPTIONS))
    except (OSError, ValueError, RecursionError) as error:
        unreadable = getattr(error, "strerror", None) or ("not JSON" if _is_file(path) else "no file's name")
        raise OptionsError(
            f"The record of consent {path} cannot be read: {unreadable}.",
            'Give a JSON file such as {"who": "Ada Example", "when": "2026-11-30", "purpose": "the Spanish '
            'version"}.',
        ) from error
    return Options(consent=content).consent


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except ValueError:
        return False


def client_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the constructor arguments of `Client` and `AsyncClient`."""
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
    if "no_provenance" in arguments:
        found["provenance"] = provenance_of(arguments)
    return found


def open_client(arguments: argparse.Namespace) -> Client:
    """Return a client for the servers that the arguments name."""
    return Client(**client_arguments(arguments))
