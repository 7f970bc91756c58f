"""The embedded server: a real Triton on this machine's loopback, for laptops, tests and CI."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from rich.logging import RichHandler

from lipserve.contracts import PIPELINES, Form, TierName
from lipserve_server.inside.limits import Limits
from lipserve_server.launcher import foreground, triton
from lipserve_server.launcher.options import Options
from lipserve_server.launcher.server import TritonServer
from lipserve_server.repository.integrity import check_graphs
from lipserve_server.repository.models import assemble, held_tiers, missing_leaves
from lipserve_server.repository.store import Assembly

DEFAULT_REPOSITORY = Path("build/model_repository")
_logger = logging.getLogger("lipserve.server")


class EmbeddedServer(TritonServer):
    """A Triton that serves `repository`, from entering this context to leaving it.

    Args:
        repository: exported graphs (`<leaf>/1/model.onnx`); configuration and adapters are laid over it.
        grpc_port, metrics_port: on 127.0.0.1; 0 picks a free one.
        limits: of the environment where None.
        log_file, audit_log, trace_url, leaf_threads, ready_timeout, exit_timeout: see `options.Options`.

    Start it from a thread that outlives it: the server ends with that thread.

    Raises:
        SetupError: a file, a package or a library is missing, a graph is not its manifest's, a port is taken,
            or the server does not start.
    """

    def __init__(
        self,
        repository: Path,
        grpc_port: int = 8001,
        metrics_port: int = 8002,
        *,
        log_file: Path | None = None,
        audit_log: Path | None = None,
        trace_url: str | None = None,
        leaf_threads: int = 1,
        limits: Limits | None = None,
        ready_timeout: float = Options.ready_timeout,
        exit_timeout: float = Options.exit_timeout,
    ) -> None:
        super().__init__(
            Options(
                grpc_port=grpc_port,
                metrics_port=metrics_port,
                log_file=log_file,
                audit_log=audit_log,
                trace_url=trace_url,
                leaf_threads=leaf_threads,
                limits=limits or Limits.of(),
                ready_timeout=ready_timeout,
                exit_timeout=exit_timeout,
                comes_back=True,
            )
        )
        self.repository = repository.resolve()

    def start(self) -> None:
        """Start the server, and return when every model is loaded."""
        tiers = held_tiers(self.repository)
        installation = triton.find()
        models = assemble(self.repository)
        check_graphs(self.repository, [model.name for model in models if model.kind == "leaf"])
        self._tell_of_incomplete_tiers(tiers)
        self.serve(installation, Assembly(self.repository, models))

    def _tell_of_incomplete_tiers(self, held: tuple[TierName, ...]) -> None:
        """Warn where a tier is exported in part: nobody leaves it so on purpose."""
        for tier, pipeline in PIPELINES.items():
            missing = missing_leaves(self.repository, tier)
            if tier not in held and set(missing) != {model.name for model in pipeline.leaves(Form())}:
                self._logger.warning("The tier %s is not served: no %s.", tier, ", no ".join(missing))


def serve(
    repository: Path | None = None,
    grpc_port: int = 8001,
    metrics_port: int = 8002,
    *,
    log_file: Path | None = None,
    audit_log: Path | None = None,
    trace_url: str | None = None,
    leaf_threads: int = 1,
    limits: Sequence[str] = (),
) -> int:
    """Serve until Ctrl-C or SIGTERM, and return the exit code of the process.

    The first signal lets accepted requests finish, a second one does not. A Triton that ends by itself is
    not started again: 1 is returned, and whoever runs this command decides.

    Args:
        limits: of what requests may ask, each `NAME=VALUE`; over those of the environment.
    """
    _log_to_terminal()
    server = EmbeddedServer(
        repository or DEFAULT_REPOSITORY,
        grpc_port,
        metrics_port,
        log_file=log_file,
        audit_log=audit_log,
        trace_url=trace_url,
        leaf_threads=leaf_threads,
        limits=Limits.of(limits),
    )
    return foreground.run(server, _logger)


def _log_to_terminal() -> None:
    _logger.setLevel(logging.INFO)
    if not _logger.handlers:
        handler = RichHandler(show_path=False, log_time_format="%H:%M:%S")
        handler.setLevel(logging.INFO)
        _logger.addHandler(handler)
