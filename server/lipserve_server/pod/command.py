"""Entry point of a serving pod, `lipserve pod`: options, health port, Triton in the foreground, exit code."""

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

REFUSAL_SECONDS = 60.0  # how long the metrics page still reports engines that do not fit
_logger = logging.getLogger("lipserve.server")


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM; return the exit code: 0 drained, 1 not drained or Triton ended by itself.

    Raises:
        SetupError: something is missing; the termination log names it.
    """
    logging.basicConfig(level=logging.INFO, format=FORMAT, stream=sys.stderr)
    try:
        return _serve(options)
    except SetupError as error:
        _leave_behind(options.termination_log, f"{error.message}\n{error.remedy}")
        raise


def _serve(options: argparse.Namespace) -> int:
    identity = deletion_cost.identity() if options.deletion_cost else None
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
        audit_log=options.audit_log,
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
            "Give --tls-certificate and --tls-key together; --tls-client-ca may be added to them.",
        )
    return None


def _wait_for_signal(seconds: float) -> None:
    signals = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    signal.sigtimedwait(signals, seconds)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_behind(path: Path, message: str) -> None:
    """Write the termination message, which the container's status shows, if Kubernetes mounted the file."""
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
        "Run a serving pod: assemble the model repository, start and warm up Triton, supervise it, report "
        "health and metrics, and drain on SIGTERM. The container images start with this command."
    )
    parser.epilog = _EPILOG
    parser.set_defaults(run=run)
    add = parser.add_argument
    add(
        "--repository",
        type=Path,
        required=True,
        metavar="DIR",
        help="exported models and engines (read only)",
    )
    add(
        "--work",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder in which Triton's model repository is assembled",
    )
    add(
        "--profile",
        choices=PROFILES,
        required=True,
        help="backend of the networks: TensorRT engines, ONNX graphs, or ONNX in Python stages",
    )
    add(
        "--host",
        default="0.0.0.0",
        metavar="ADDRESS",
        help="address that all ports listen on (default %(default)s)",
    )
    add(
        "--grpc-port",
        type=_port,
        default=8001,
        metavar="PORT",
        help="gRPC port of Triton (default %(default)s)",
    )
    add(
        "--metrics-port",
        type=_port,
        default=8002,
        metavar="PORT",
        help="metrics port of Triton (default %(default)s)",
    )
    add(
        "--health-port",
        type=_port,
        default=8080,
        metavar="PORT",
        help="port of the pod's /livez, /readyz and /metrics (default %(default)s)",
    )
    add("--exit-timeout", type=_seconds, default=130.0, metavar="SECONDS", help=_EXIT_HELP)
    add("--ready-timeout", type=_seconds, default=600.0, metavar="SECONDS", help=_READY_HELP)
    add("--trace-to", metavar="URL", help="OTLP/HTTP collector that receives the spans of every request")
    add("--audit-log", type=Path, metavar="FILE", help=_AUDIT_HELP)
    add(
        "--leaf-threads",
        type=int,
        default=1,
        metavar="N",
        help="threads of each network in the profile embedded (default %(default)s)",
    )
    add("--tls-certificate", type=Path, metavar="FILE", help="certificate chain of the gRPC port (PEM)")
    add("--tls-key", type=Path, metavar="FILE", help="private key of the certificate (PEM)")
    add(
        "--tls-client-ca",
        type=Path,
        metavar="FILE",
        help="certificate authorities of the clients (PEM); then every client needs a certificate",
    )
    add("--shared-memory", choices=("closed", "open"), default="closed", help=_SHM_HELP)
    add("--limit", action="append", default=[], metavar="NAME=VALUE", help=_LIMIT_HELP)
    add(
        "--deletion-cost",
        action="store_true",
        help="write the number of requests in this pod into Kubernetes' pod deletion cost, so that a "
        "scale-down removes idle pods first",
    )
    add("--termination-log", type=Path, default=Path("/dev/termination-log"), metavar="FILE", help=_LOG_HELP)


_EPILOG = """\
examples:
  lipserve pod --repository /models --work /work --profile tensorrt
  lipserve pod --repository build/model_repository --work build/pod \\
      --profile embedded

exit code: 0 drained after SIGTERM, 1 not drained in time or Triton ended by
itself, 5 something is missing or the engines do not fit
"""
_EXIT_HELP = (
    "time in which accepted requests finish after SIGTERM; one that takes longer counts as hung "
    "(default %(default)g)"
)
_READY_HELP = "time in which all models load and each tier dubs one clip (default %(default)g)"
_SHM_HELP = (
    "open: clients may register shared memory, and gRPC then listens on 127.0.0.1 only (default %(default)s)"
)
_AUDIT_HELP = (
    "file that receives a line of JSON for each request: its client, its outcome, and the digests of its "
    "files; - for standard output"
)
_LIMIT_HELP = f"limit on requests, repeatable: {', '.join(Limits.model_fields)} (docs/options.md)"
_LOG_HELP = "existing file that receives the reason of a failure (default %(default)s)"
