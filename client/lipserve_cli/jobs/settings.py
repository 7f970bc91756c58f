"""Arguments that the gateway and the workers share: the queue, the store, the tenants.

Every one has an environment variable, for pods; the flag wins.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lipserve.errors import OptionsError, SetupError

if TYPE_CHECKING:
    from lipserve_jobs.queue.broker import BrokerOptions
    from lipserve_jobs.records.roster import Roster

PREFIX = "LIPSERVE_JOBS_"


def variable(name: str, default: str | None = None) -> str | None:
    """Return the value of LIPSERVE_JOBS_`name`; an empty one counts as none."""
    return os.environ.get(f"{PREFIX}{name}") or default


def number(name: str, default: float) -> float:
    """Return the number of LIPSERVE_JOBS_`name`; OptionsError where it is none."""
    text = variable(name)
    try:
        return default if text is None else float(text)
    except ValueError:
        raise OptionsError(f"{PREFIX}{name}={text} is not a number.", "Give a number.") from None


def add_shared(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the queue, the store and the tenants."""
    group = parser.add_argument_group("queue and store")
    group.add_argument(
        "--nats",
        default=variable("NATS", "nats://127.0.0.1:4222"),
        metavar="URL",
        help="address of NATS with JetStream; several with commas (default %(default)s; LIPSERVE_JOBS_NATS)",
    )
    group.add_argument(
        "--nats-credentials",
        default=variable("NATS_CREDENTIALS"),
        metavar="FILE",
        help="credentials of a NATS user (LIPSERVE_JOBS_NATS_CREDENTIALS)",
    )
    group.add_argument(
        "--nats-ca",
        default=variable("NATS_CA"),
        metavar="PEM",
        help="who signed the certificates of a tls:// address (LIPSERVE_JOBS_NATS_CA)",
    )
    group.add_argument(
        "--nats-replicas",
        type=int,
        default=int(number("NATS_REPLICAS", 1)),
        metavar="N",
        help="copies of each stream: 3 in a cluster of three (default %(default)s; "
        "LIPSERVE_JOBS_NATS_REPLICAS)",
    )
    group.add_argument(
        "--store",
        default=variable("STORE", "build/jobs/store"),
        metavar="ADDRESS",
        help="folder, or s3://BUCKET/PREFIX with AWS_* variables (default %(default)s; LIPSERVE_JOBS_STORE)",
    )
    group.add_argument(
        "--store-endpoint",
        default=variable("STORE_ENDPOINT"),
        metavar="URL",
        help="another service that speaks S3 (LIPSERVE_JOBS_STORE_ENDPOINT)",
    )
    group.add_argument(
        "--tenants",
        default=variable("TENANTS"),
        metavar="YAML",
        help="who may send jobs, and how many (docs/jobs/tenants.md; LIPSERVE_JOBS_TENANTS)",
    )
    add_outside(group)
    group.add_argument(
        "--keep-days",
        type=float,
        default=number("KEEP_DAYS", 7),
        metavar="DAYS",
        help="time that a job is kept after its end (default %(default)g; LIPSERVE_JOBS_KEEP_DAYS)",
    )


def add_outside(group: argparse._ActionsContainer) -> None:
    """Add the flags of what lies outside of the service: webhooks, and addresses that callers name."""
    group.add_argument(
        "--webhook-secret-file",
        default=variable("WEBHOOK_SECRET_FILE"),
        metavar="FILE",
        help="secret (whsec_...) that signs webhooks of tenants without one of their own "
        "(LIPSERVE_JOBS_WEBHOOK_SECRET_FILE)",
    )
    group.add_argument(
        "--allow-private-addresses",
        action="store_true",
        default=variable("ALLOW_PRIVATE_ADDRESSES") == "true",
        help="let files and webhooks have addresses inside this network "
        "(LIPSERVE_JOBS_ALLOW_PRIVATE_ADDRESSES=true)",
    )


def broker_of(arguments: argparse.Namespace) -> BrokerOptions:
    """Return how NATS is reached."""
    from lipserve_jobs.queue.broker import BrokerOptions

    if arguments.nats_replicas < 1:
        raise OptionsError(f"--nats-replicas {arguments.nats_replicas} is below 1.", "Give 1, 3 or 5.")
    return BrokerOptions(
        arguments.nats, arguments.nats_credentials, arguments.nats_ca, arguments.nats_replicas
    )


def roster_of(arguments: argparse.Namespace) -> Roster:
    """Return the tenants of a file, which may change; without one there are none by name."""
    from lipserve_jobs.records.roster import Roster

    return Roster(None if arguments.tenants is None else Path(arguments.tenants))


def webhook_secret_of(arguments: argparse.Namespace) -> str | None:
    """Return the secret that signs webhooks; SetupError where its file has none."""
    from lipserve_jobs.records.tenant import WEBHOOK_SECRET

    if arguments.webhook_secret_file is None:
        return None
    try:
        secret = Path(arguments.webhook_secret_file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SetupError(
            f"The secret of webhooks cannot be read from {arguments.webhook_secret_file}.",
            "Give a file with whsec_ and base64.",
        ) from error
    if not re.fullmatch(WEBHOOK_SECRET, secret):
        raise SetupError(
            f"{arguments.webhook_secret_file} has no secret of webhooks.",
            "Give a file with whsec_ and base64 of 24 to 64 bytes.",
        )
    return secret
