"""gRPC metadata of a client's calls. It may hold keys, so no error message shows it."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lipserve.errors import OptionsError, SetupError

HEADERS_VARIABLE = "LIPSERVE_HEADERS"
_MOST_BYTES = 65_536  # of a file or a variable; gRPC's own bound of all metadata is 8 or 16 KiB
_NAME = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_EXAMPLE = "For example: --header x-api-key=KEY, or --header @FILE with such lines."


def read_headers(given: Sequence[str] = ()) -> dict[str, str]:
    """Return the headers of the environment and the command line; of equal names the last wins.

    LIPSERVE_HEADERS holds lines of NAME=VALUE. What is given is NAME=VALUE, or @FILE: the path of a file of
    such lines. Empty lines, and those that begin with #, mean nothing. Every local user can read a command
    line; a file and the environment keep keys to themselves.

    Raises:
        OptionsError: a line is not NAME=VALUE. SetupError: a file cannot be read.
    """
    found: dict[str, str] = {}
    for text in _lines(os.environ.get(HEADERS_VARIABLE, ""), given):
        name, separator, value = text.partition("=")
        if not separator or not _NAME.fullmatch(name.lower()):  # what it is then may be a key: it is not told
            raise OptionsError("A header does not have the form NAME=VALUE.", _EXAMPLE)
        found[name.lower()] = value
    return found


def metadata(headers: Mapping[str, str | bytes] | None) -> dict[str, str | bytes]:
    """Return headers as gRPC takes them: lower case, and bytes where the name ends with -bin.

    Args:
        headers: the value of a name that ends with -bin is its bytes, or a text of base64.

    Raises:
        OptionsError: gRPC would refuse one.
    """
    return {name.lower(): _checked(name.lower(), value) for name, value in (headers or {}).items()}


def _checked(name: str, value: str | bytes) -> str | bytes:
    if not _NAME.fullmatch(name):
        raise OptionsError("The name of a header is not valid.", "Use letters, digits and - . _ only.")
    if name.startswith("grpc-"):
        raise OptionsError(f"The header {name} is reserved for gRPC.", "Use another name.")
    if name.endswith("-bin"):
        return value if isinstance(value, bytes) else _decoded(name, value)
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise OptionsError(
            f"The value of the header {name} is not ASCII text.",
            "Send bytes as base64, under a name that ends with -bin.",
        )
    return value


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise OptionsError(
            f"The value of the header {name} is not base64.",
            "A name that ends with -bin takes bytes: encode them as base64.",
        ) from None


def _lines(environment: str, given: Sequence[str]) -> Iterator[str]:
    yield from _meant(environment)
    for text in given:
        if text.startswith("@"):
            yield from _meant(_content(text[1:]))
        else:
            yield text


def _meant(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.strip()


def _content(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file's name"
        raise SetupError(f"The file of --header cannot be read: {reason}.", "Check the path.") from None
    if len(content) > _MOST_BYTES:
        raise OptionsError("The file of --header is larger than 64 KiB.", _EXAMPLE)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise OptionsError("The file of --header is not text.", _EXAMPLE) from None
