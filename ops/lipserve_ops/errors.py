"""Errors of a cluster, each with its remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lipserve.errors import SetupError

if TYPE_CHECKING:
    from kubernetes.client.exceptions import ApiException


class ClusterError(SetupError):
    """The cluster cannot be asked, or did not do what it was asked."""

    code = "cluster"


class UnreachableError(ClusterError):
    """No kubeconfig, no such context, or an API server that does not answer."""

    code = "cluster_unreachable"


class ForbiddenError(ClusterError):
    """This user may not do that."""

    code = "cluster_forbidden"


class AbsentError(ClusterError):
    """The release, the pod or the Job is not there."""

    code = "cluster_absent"


class RefusedError(ClusterError):
    """It would take the service away, or cannot be done without loss."""

    code = "cluster_refused"


_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)" '
    r'in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]*)")?'
)
_HANDSHAKE = re.compile(r"Handshake status (?P<status>\d{3})")  # of a websocket: the status is in the text
_BODY = re.compile(r"\{.*\}", re.DOTALL)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn errors of the API server inside the block into a ClusterError.

    Args:
        what: is asked for, for the message: "the pod lipserve-0".
    """
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        raise _translated(error, what) from None
    except (HTTPError, OSError) as error:
        raise UnreachableError(
            f"The API server does not answer ({_reason(error)}).",
            "Check the context (`kubectl config current-context`), the network, and the cluster's address.",
        ) from None


def _translated(error: ApiException, what: str) -> ClusterError:
    text = f"{error.reason} {error.body or ''}".strip()
    handshake = _HANDSHAKE.search(text)
    status = int(handshake["status"]) if handshake else error.status
    message = _message(text)
    match status:
        case 401:
            return ForbiddenError(
                "The API server does not know you: the credentials are wrong or have run out.",
                "Log in to the cluster again; `kubectl auth whoami` shows who you are.",
            )
        case 403:
            return _forbidden(message)
        case 404:
            return AbsentError(
                f"There is no {what.removeprefix('the ')}.", "`lipserve ops status` shows what is."
            )
        case 0 | None:
            return UnreachableError(
                f"The API server does not answer ({message}).", "Check the context and the network."
            )
        case _:
            return ClusterError(
                f"The API server refused {what} ({status}): {message}",
                "Correct the fault that the message names, or try again.",
            )


def _forbidden(message: str) -> ForbiddenError:
    found = _FORBIDDEN.search(message)
    if found is None:
        return ForbiddenError(f"The API server forbids this: {message}", "Ask for the right that it names.")
    where = f" in the namespace {found['namespace']}" if found["namespace"] else ""
    return ForbiddenError(
        f"{found['user']} may not {found['verb']} {found['resource']}{where}.",
        f'Ask for a role with apiGroups ["{found["group"]}"], resources [{found["resource"]}], '
        f"verbs [{found['verb']}]: docs/operations/lipserve-ops.md has the whole one.",
    )


def _message(text: str) -> str:
    """Return the message of the Status in an answer; before that of a refused websocket its headers stand."""
    body = _BODY.search(text.rpartition("-+-+- ")[2])
    try:
        return str(json.loads(body[0])["message"]) if body else text.strip()
    except (ValueError, KeyError):
        return text.strip()[:500]


def _reason(error: Exception) -> str:
    text = str(getattr(error, "reason", None) or error)
    return text.rpartition(">: ")[2].rpartition("): ")[2].strip()
