"""`lipserve jobs worker`: carries out steps of jobs."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from lipserve.errors import OptionsError
from lipserve_cli.arguments import add_provenance, add_requests, add_server, client_arguments
from lipserve_cli.jobs.leaving import leave
from lipserve_cli.jobs.settings import (
    add_shared,
    broker_of,
    number,
    roster_of,
    variable,
    webhook_secret_of,
)

_EXAMPLES = """\
examples:
  lipserve jobs worker
  lipserve jobs worker --url triton:8001 --nats nats://nats:4222 \\
      --store s3://films/lipserve --places 4

On SIGTERM it takes nothing more, and ends when what it is at is done. What is
not done in time it gives back, and another worker takes it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Take steps of jobs from the queue, and carry them out with Triton servers. Start as many workers as "
        "you like, on any machine that reaches the queue and the store."
    )
    parser.epilog = _EXAMPLES
    group = parser.add_argument_group("work")
    group.add_argument(
        "--places",
        type=int,
        default=int(number("PLACES", 3)),
        metavar="N",
        help="steps at once, and one more for a tenant that has none (default %(default)s; "
        "LIPSERVE_JOBS_PLACES)",
    )
    group.add_argument(
        "--scratch",
        type=Path,
        default=Path(variable("SCRATCH", "build/jobs/scratch") or ""),
        metavar="DIR",
        help="folder for the files of jobs in work (default %(default)s; LIPSERVE_JOBS_SCRATCH)",
    )
    group.add_argument(
        "--metrics-port",
        type=int,
        default=int(number("METRICS_PORT", 0)) or None,
        metavar="PORT",
        help="port of the metrics (default: none; LIPSERVE_JOBS_METRICS_PORT)",
    )
    group.add_argument(
        "--drain-seconds",
        type=float,
        default=number("DRAIN_SECONDS", 60),
        metavar="SECONDS",
        help="time to finish what it is at, once it is told to end (default %(default)g; "
        "LIPSERVE_JOBS_DRAIN_SECONDS)",
    )
    add_shared(parser)
    add_server(parser)
    add_requests(parser)
    add_provenance(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    import logging

    from lipserve_client import AsyncClient
    from lipserve_jobs.worker.serve import WorkerOptions, work

    if arguments.places < 1:
        raise OptionsError(f"--places {arguments.places} is below 1.", "Give 1 or more.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    options = WorkerOptions(
        broker=broker_of(arguments),
        store=arguments.store,
        scratch=arguments.scratch,
        endpoint=arguments.store_endpoint,
        tenants=roster_of(arguments),
        places=arguments.places,
        keep_days=arguments.keep_days,
        private=arguments.allow_private_addresses,
        webhook_secret=webhook_secret_of(arguments),
        metrics_port=arguments.metrics_port,
        drain_seconds=arguments.drain_seconds,
    )
    _of_environment(arguments)

    async def serve() -> None:
        async with AsyncClient(**client_arguments(arguments)) as client:
            await work(client, options)

    asyncio.run(serve())
    leave()


def _of_environment(arguments: argparse.Namespace) -> None:
    """Take from the environment what pods are told of their Triton, where no flag says it."""
    found = os.environ.get
    if arguments.url is None and found("LIPSERVE_URL"):
        arguments.url = [os.environ["LIPSERVE_URL"]]
    arguments.tls_ca = arguments.tls_ca or found("LIPSERVE_TLS_CA") or None
    arguments.tls_cert = arguments.tls_cert or found("LIPSERVE_TLS_CERT") or None
    arguments.tls_key = arguments.tls_key or found("LIPSERVE_TLS_KEY") or None
    if found("LIPSERVE_API_KEY"):
        arguments.header = [f"x-api-key={os.environ['LIPSERVE_API_KEY']}", *arguments.header]
