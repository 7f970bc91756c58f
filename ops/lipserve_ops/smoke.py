"""`lipserve ops smoke`: dub a built-in clip in the cluster and check the result."""

from __future__ import annotations

import argparse
import json
from typing import Any

from lipserve import TLS, Client, read_headers, smoke
from lipserve.contracts import DEFAULT_TIER, TIER_NAMES
from lipserve_ops import metrics, release
from lipserve_ops.arguments import add_cluster, open_release
from lipserve_ops.errors import AbsentError
from lipserve_ops.forward import forwarded
from lipserve_ops.release import Release

_EXAMPLES = """\
examples:
  lipserve ops smoke                     through Envoy, if there is one
  lipserve ops smoke --pod lipserve-5d8f9c7b6-x2x7k
  lipserve ops smoke --header x-api-key=s3cret
  lipserve ops smoke --tls-ca ca.pem --tls-name lipserve.video.svc

exit code: 0 every check passed, 1 a check failed, 2 to 5 there is no result
"""


def target(found: Release, name: str | None) -> Any:
    """Return the pod to send the clip to: `name`, or a ready one of Envoy's, or of the server's.

    Raises:
        AbsentError: there is no such pod, or none is ready.
    """
    if name is not None:
        return found.pod(name)
    for component in ("envoy", "server"):
        ready = [pod for pod in found.pods(component) if release.is_ready(pod)]
        if ready:
            return ready[0]
    raise AbsentError(
        f"No pod of {found.name} is ready.",
        "`lipserve ops status` shows why; --pod NAME sends to one all the same.",
    )


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "smoke",
        help="dub a built-in clip and check the result",
        description="Dub a portrait with 2.4 seconds of speech on a pod of the release, through the "
        "cluster's API server, and check the result. Use it where this machine cannot reach the service "
        "itself; else use `lipserve smoke`.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--pod",
        metavar="NAME",
        help="pod that gets the clip (default: Envoy if there is one, else any ready pod)",
    )
    parser.add_argument(
        "--tier", choices=TIER_NAMES, default=DEFAULT_TIER, help="generator to check (default %(default)s)"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="time limit for the answer (default %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    _add_service(parser)
    add_cluster(parser)
    parser.set_defaults(run=run)


def _add_service(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("service")
    group.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="gRPC metadata, such as Envoy's API key; repeatable. To keep it out of the process list, use "
        "@FILE (one NAME=VALUE per line) or the environment variable LIPSERVE_HEADERS",
    )
    group.add_argument(
        "--tls-ca", metavar="PEM", help="use TLS; trust only the certificate authorities of this file"
    )
    group.add_argument("--tls-cert", metavar="PEM", help="client certificate, for mutual TLS")
    group.add_argument("--tls-key", metavar="PEM", help="private key of the client certificate")
    group.add_argument("--tls-name", metavar="HOST", help="host name in the server's certificate")


def run(arguments: argparse.Namespace) -> int:
    tls, headers = _tls(arguments), read_headers(arguments.header)
    with open_release(arguments) as found:
        pod = target(found, arguments.pod)
        grpc = metrics.named_port(pod, "grpc")
        with (
            forwarded(found.cluster, pod.metadata.name, grpc) as url,
            Client(url, tls=tls, headers=headers) as client,
        ):
            result = smoke(client, tier=arguments.tier, timeout=arguments.timeout)
    if arguments.json:
        print(json.dumps({"pod": pod.metadata.name, **result.to_json()}, indent=2))
    else:
        print("\n".join((pod.metadata.name, *result.rows())))
    return 0 if result.ok else 1


def _tls(arguments: argparse.Namespace) -> TLS | None:
    given = (arguments.tls_ca, arguments.tls_cert, arguments.tls_key, arguments.tls_name)
    return TLS(*given) if any(given) else None
