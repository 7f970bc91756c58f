"""`lipserve jobs gateway`: the HTTP interface of jobs, and its page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lipserve.errors import OptionsError, SetupError
from lipserve_cli.jobs.leaving import leave
from lipserve_cli.jobs.settings import add_shared, broker_of, number, variable

if TYPE_CHECKING:
    from lipserve_jobs.gateway.settings import Oidc

_EXAMPLES = """\
examples:
  lipserve jobs gateway
      for this machine alone: then open http://127.0.0.1:8080/
  lipserve jobs gateway --host 0.0.0.0 --tenants tenants.yaml \\
      --nats nats://nats:4222 --store s3://films/lipserve
  lipserve jobs gateway --host 0.0.0.0 --oidc-issuer https://login.example.com \\
      --oidc-audience lipserve --session-secret-file /secrets/session

Start as many gateways as you like; none keeps anything. On SIGTERM streams of
events end, and uploads have --drain-seconds to end; what has come of a tus
upload by then is kept.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Take jobs over HTTP, tell how far they are, and give their results; the interface is described at "
        "/openapi.json, and there is a page at /."
    )
    parser.epilog = _EXAMPLES
    _add_address(parser)
    _add_callers(parser)
    add_shared(parser)
    parser.set_defaults(run=run)


def _add_address(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("gateway")
    group.add_argument(
        "--host",
        default=variable("HOST", "127.0.0.1"),
        metavar="ADDRESS",
        help="address to listen on; others than 127.0.0.1 want --tenants or --oidc-issuer "
        "(default %(default)s; LIPSERVE_JOBS_HOST)",
    )
    group.add_argument(
        "--port",
        type=int,
        default=int(number("PORT", 8080)),
        metavar="PORT",
        help="port of page and API (default %(default)s; LIPSERVE_JOBS_PORT)",
    )
    group.add_argument(
        "--metrics-port",
        type=int,
        default=int(number("METRICS_PORT", 0)) or None,
        metavar="PORT",
        help="port of the metrics, which name every tenant (default: that of page and API; "
        "LIPSERVE_JOBS_METRICS_PORT)",
    )
    group.add_argument(
        "--drain-seconds",
        type=float,
        default=number("DRAIN_SECONDS", 60),
        metavar="SECONDS",
        help="time that uploads have to end after SIGTERM (default %(default)g; LIPSERVE_JOBS_DRAIN_SECONDS)",
    )
    group.add_argument(
        "--upload-memory",
        type=int,
        default=int(number("UPLOAD_MEMORY", 24)),
        metavar="MIB",
        help="memory that all uploads together hold (default %(default)s; LIPSERVE_JOBS_UPLOAD_MEMORY)",
    )


def _add_callers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("callers")
    group.add_argument(
        "--allowed-host",
        action="append",
        metavar="NAME",
        help="name that the service is called by where nobody is asked who they are; repeatable "
        "(default 127.0.0.1, localhost, ::1; LIPSERVE_JOBS_ALLOWED_HOSTS with commas)",
    )
    group.add_argument(
        "--oidc-issuer",
        default=variable("OIDC_ISSUER"),
        metavar="URL",
        help="take tokens of this OpenID Connect issuer, too (LIPSERVE_JOBS_OIDC_ISSUER)",
    )
    group.add_argument(
        "--oidc-audience",
        default=variable("OIDC_AUDIENCE"),
        metavar="NAME",
        help="audience that the tokens are made for (LIPSERVE_JOBS_OIDC_AUDIENCE)",
    )
    group.add_argument(
        "--oidc-jwks",
        default=variable("OIDC_JWKS"),
        metavar="URL",
        help="where the issuer's keys are (default: what its discovery document says; "
        "LIPSERVE_JOBS_OIDC_JWKS)",
    )
    group.add_argument(
        "--oidc-tenant-claim",
        default=variable("OIDC_TENANT_CLAIM", "tenant"),
        metavar="NAME",
        help="claim that names the tenant (default %(default)s; LIPSERVE_JOBS_OIDC_TENANT_CLAIM)",
    )
    group.add_argument(
        "--session-secret-file",
        default=variable("SESSION_SECRET_FILE"),
        metavar="FILE",
        help="secret of 32 characters or more that signs the page's cookies; the same for all gateways "
        "(default: one of this process; LIPSERVE_JOBS_SESSION_SECRET_FILE)",
    )


def run(arguments: argparse.Namespace) -> int:
    import logging

    from lipserve_jobs.gateway.serve import serve
    from lipserve_jobs.gateway.settings import LOCAL_HOSTS, Settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    hosts = arguments.allowed_host or (variable("ALLOWED_HOSTS") or "").split(",")
    settings = Settings(
        broker=broker_of(arguments),
        store=arguments.store,
        endpoint=arguments.store_endpoint,
        tenants=None if arguments.tenants is None else Path(arguments.tenants),
        oidc=_oidc(arguments),
        session_secret=_session_secret(arguments.session_secret_file),
        hosts=tuple(filter(None, hosts)) or LOCAL_HOSTS,
        host=arguments.host,
        port=arguments.port,
        metrics_port=arguments.metrics_port,
        keep_days=arguments.keep_days,
        private=arguments.allow_private_addresses,
        drain_seconds=arguments.drain_seconds,
        upload_memory=_upload_memory(arguments.upload_memory),
    )
    if settings.open_to_all and settings.host not in LOCAL_HOSTS:
        raise OptionsError(
            f"--host {settings.host} lets others call, and nobody is asked who they are.",
            "Give --tenants or --oidc-issuer, or listen on 127.0.0.1.",
        )
    serve(settings)
    leave()


def _oidc(arguments: argparse.Namespace) -> Oidc | None:
    from lipserve_jobs.gateway.settings import Oidc

    if arguments.oidc_issuer is None:
        return None
    if arguments.oidc_audience is None:
        raise OptionsError("--oidc-issuer needs --oidc-audience.", "Give the audience of the tokens.")
    return Oidc(
        arguments.oidc_issuer, arguments.oidc_audience, arguments.oidc_jwks, arguments.oidc_tenant_claim
    )


def _session_secret(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        secret = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SetupError(f"The secret of sessions cannot be read from {path}.", "Give a file.") from error
    if len(secret) < 32:
        raise SetupError(f"The secret of sessions in {path} is too short.", "Give 32 characters or more.")
    return secret


def _upload_memory(mebibytes: int) -> int:
    if mebibytes < 1:
        raise OptionsError(f"--upload-memory {mebibytes} is below 1.", "Give 16 or more.")
    return mebibytes << 20
