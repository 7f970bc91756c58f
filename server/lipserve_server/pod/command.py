"""`lipserve pod`: the entry point of a serving pod, from the assembly of its repository to its drain."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
from pathlib import Path

from lipserve.contracts import PROFILES
from lipserve.errors import EngineError, SetupError
from lipserve_server.inside.limits import Limits
from lipserve_server.launcher import foreground
from lipserve_server.launcher.log import FORMAT
from lipserve_server.launcher.options import Options
from lipserve_server.launcher.tls import TlsFiles
from lipserve_server.pod import deletion_cost
from lipserve_server.pod.health import HealthPort
from lipserve_server.pod.server import Pod

REFUSAL_SECONDS = 60.0  # for which the metrics tell of engines that do not fit
_logger = logging.getLogger("lipserve.server")


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM; return the exit code: 0 drained, 1 not, or Triton ended.

    Raises:
        SetupError: something is missing; the container's status shows what.
    """
    logging.basicConfig(level=logging.INFO, format=FORMAT, stream=sys.stderr)
    try:
        return _serve(options)
    except SetupError as error:
        _leave_behind(options.termination_log, f"{error.message}\n{error.remedy}")
        raise


def _serve(options: argparse.Namespace) -> int:
    identity = deletion_cost.identify() if options.deletion_cost else None
    pod = Pod(options.repository, options.work, _serving(options), identity)
    with HealthPort(options.host, options.health_port, pod) as health:
        _logger.info("Health and metrics on port %d.", health.port)
        try:
            code = foreground.run(pod, _logger)
        except EngineError as error:
            _logger.error("%s %s", error.message, error.remedy)
            _wait_for_signal(REFUSAL_SECONDS)
            raise
    if code:
        _leave_behind(options.termination_log, pod.log_tail())
    return code


def _serving(options: argparse.Namespace) -> Options:
    return Options(
        profile=options.profile,
        host=options.host,
        grpc_port=options.grpc_port,
        metrics_port=options.metrics_port,
        tls=_tls(options),
        shared_memory=options.shared_memory == "open",
        trace_url=options.trace_to,
        leaf_threads=options.leaf_threads,
        ready_timeout=options.ready_timeout,
        exit_timeout=options.exit_timeout,
        limits=Limits.of(options.limit),
    )


def _tls(options: argparse.Namespace) -> TlsFiles | None:
    certificate, key, client_ca = options.tls_certificate, options.tls_key, options.tls_client_ca
    if certificate and key:
        return TlsFiles(certificate, key, client_ca)
    if certificate or key or client_ca:
        raise SetupError(
            "TLS needs a certificate and its key.",
            "Give --tls-certificate and --tls-key together; --tls-client-ca comes on top of them.",
        )
    return None


def _wait_for_signal(seconds: float) -> None:
    signals = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    signal.sigtimedwait(signals, seconds)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_behind(path: Path, message: str) -> None:
    """Write what the container's status shows of its end; only where Kubernetes has put the file."""
    with contextlib.suppress(OSError):
        if path.is_file():
            path.write_text(message)


def _port(text: str) -> int:
    if not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: give 1 to 65535, or 0 for a free one")
    return int(text)


def _seconds(text: str) -> float:
    if not 0 < float(text) <= 86400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 86400 seconds")
    return float(text)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run a serving pod: assemble the model repository, start and warm up Triton, supervise it,\n"
        "report health and metrics, and drain on SIGTERM."
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add(
        "--repository", type=Path, required=True, metavar="DIR", help="exported models and engines; only read"
    )
    add("--work", type=Path, required=True, metavar="DIR", help="where the repository is assembled")
    add("--profile", choices=PROFILES, required=True, help="how the networks run")
    add("--host", default="0.0.0.0", help="address of all ports (default %(default)s)")
    add("--grpc-port", type=_port, default=8001, metavar="PORT", help="default %(default)s")
    add("--metrics-port", type=_port, default=8002, metavar="PORT", help="Triton's (default %(default)s)")
    add(
        "--health-port",
        type=_port,
        default=8080,
        metavar="PORT",
        help="/livez, /readyz and /metrics of the pod",
    )
    add("--exit-timeout", type=_seconds, default=130.0, metavar="SECONDS", help=_EXIT_HELP)
    add("--ready-timeout", type=_seconds, default=600.0, metavar="SECONDS", help=_READY_HELP)
    add("--trace-to", metavar="URL", help="send every request's spans to an OTLP/HTTP collector")
    add("--leaf-threads", type=int, default=1, metavar="N", help="of each network in the profile embedded")
    add("--tls-certificate", type=Path, metavar="FILE", help="PEM chain of the gRPC port")
    add("--tls-key", type=Path, metavar="FILE", help="PEM key of the certificate")
    add("--tls-client-ca", type=Path, metavar="FILE", help="clients must show a certificate of these")
    add("--shared-memory", choices=("closed", "open"), default="closed", help=_SHM_HELP)
    add("--limit", action="append", default=[], metavar="NAME=VALUE", help=_LIMIT_HELP)
    add("--deletion-cost", action="store_true", help="tell Kubernetes how much work the pod has at hand")
    add("--termination-log", type=Path, default=Path("/dev/termination-log"), metavar="FILE", help=_LOG_HELP)


_EXIT_HELP = (
    "for accepted requests to finish after SIGTERM; a segment that takes longer than this counts as hung "
    "(default %(default)g)"
)
_READY_HELP = "until every model is loaded and has answered a clip (default %(default)g)"
_SHM_HELP = (
    "whether clients may register shared memory; open: those of this machine alone, for gRPC listens on "
    "127.0.0.1 then (default %(default)s)"
)
_LIMIT_HELP = f"of what a request may ask, once or more: {', '.join(Limits.model_fields)} (docs/options.md)"
_LOG_HELP = "gets the reason of a bad end, where it exists (default %(default)s)"
