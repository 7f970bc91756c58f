"""`lipserve jobs worker`: carries out steps of jobs."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from lipserve.errors import OptionsError
from lipserve_cli.arguments import add_provenance, add_requests, add_server, client_arguments
from lipserve_cli.jobs.settings import (
    add_shared,
    broker_of,
    number,
    tenants_of,
    variable,
    webhook_secret_of,
)

_EXAMPLES = """\
examples:
  lipserve jobs worker
  lipserve jobs worker --url triton:8001 --nats nats://nats:4222 \\
      --store s3://films/lipserve --places 4

On SIGTERM it takes nothing more, and ends when what it is at is done; after a
minute it gives that back, and another worker takes it.
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
        tenants=tenants_of(arguments),
        places=arguments.places,
        keep_days=arguments.keep_days,
        private=arguments.allow_private_addresses,
        webhook_secret=webhook_secret_of(arguments),
        metrics_port=arguments.metrics_port,
    )
    if arguments.url is None and os.environ.get("LIPSERVE_URL"):
        arguments.url = [os.environ["LIPSERVE_URL"]]

    async def serve() -> None:
        async with AsyncClient(**client_arguments(arguments)) as client:
            await work(client, options)

    asyncio.run(serve())
    return 0
