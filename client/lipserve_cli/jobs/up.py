"""`lipserve jobs up`: the service for films on one machine."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from lipserve.errors import OptionsError
from lipserve_cli.jobs.settings import add_outside, webhook_secret_of

_EXAMPLES = """\
examples:
  lipserve jobs up
      then open http://127.0.0.1:8080/ in a browser
  lipserve jobs up --folder /data/lipserve --port 9000
  lipserve jobs up --url triton-1:8001,triton-2:8001
      use Triton servers that run elsewhere
  lipserve jobs up --webhook-secret-file secret --allow-private-addresses
      sign webhooks, and tell addresses of this network, too

The same folder shows the same jobs after a restart. Without --tenants
everybody who reaches the port may use it: it listens on 127.0.0.1 only.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run the whole service on this machine until Ctrl-C: the queue (NATS), the store (a folder), an "
        "embedded Triton, a worker, and the gateway with its page."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "--folder",
        type=Path,
        default=_default_folder(),
        metavar="DIR",
        help="folder of jobs and results (default ~/.local/share/lipserve/jobs)",
    )
    parser.add_argument(
        "--repository",
        type=Path,
        default=Path("build/model_repository"),
        metavar="DIR",
        help="model repository of the embedded Triton (default %(default)s)",
    )
    parser.add_argument(
        "--url", metavar="HOST:PORT", help="Triton servers to use instead; several with commas"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; others want --tenants (default %(default)s)",
    )
    parser.add_argument(
        "--port", type=int, default=8080, metavar="PORT", help="port of page and API (default %(default)s)"
    )
    parser.add_argument(
        "--tenants", type=Path, metavar="YAML", help="who may send jobs (docs/jobs/tenants.md)"
    )
    parser.add_argument(
        "--places", type=int, default=3, metavar="N", help="segments in work at once (default %(default)s)"
    )
    parser.add_argument(
        "--keep-days",
        type=float,
        default=30.0,
        metavar="DAYS",
        help="time that a job is kept after its end (default %(default)g)",
    )
    add_outside(parser)
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    import webbrowser

    from lipserve_jobs.up.machine import Machine, up

    if arguments.host not in ("127.0.0.1", "::1", "localhost") and arguments.tenants is None:
        raise OptionsError(
            f"--host {arguments.host} lets others call, and nobody is asked who they are.",
            "Give --tenants, or listen on 127.0.0.1.",
        )
    webhook_secret_of(arguments)  # told here, and not in the log of a worker
    machine = Machine(
        folder=arguments.folder,
        host=arguments.host,
        port=arguments.port,
        servers=tuple(arguments.url.split(",")) if arguments.url else (),
        repository=arguments.repository,
        tenants=arguments.tenants,
        places=arguments.places,
        keep_days=arguments.keep_days,
        webhook_secret=None if arguments.webhook_secret_file is None else Path(arguments.webhook_secret_file),
        private=arguments.allow_private_addresses,
    )

    def ready(page: str) -> None:
        print(f"LipServe is ready: {page}\nJobs lie in {machine.folder}. Ctrl-C stops it.", flush=True)
        if arguments.open:
            webbrowser.open(page)

    print("starting the queue, Triton, a worker and the gateway ...", flush=True)
    asyncio.run(up(machine, ready))
    return 0


def _default_folder() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "lipserve" / "jobs"
