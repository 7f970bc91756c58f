"""Options of a server: ports, TLS, profile, time limits, limits on requests."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from lipserve.contracts import Profile
from lipserve.errors import SetupError
from lipserve_server.inside.limits import Limits
from lipserve_server.launcher.addresses import HOST
from lipserve_server.launcher.tls import TlsFiles


@dataclass(frozen=True)
class Options:
    """The settings of a Triton.

    Attributes:
        host: address that metrics listen on, and gRPC too unless clients may register shared memory.
        grpc_port, metrics_port: 0 picks a free one.
        tls: of the gRPC port; None: plain text.
        limits: of what requests may ask.
        shared_memory: whether clients may register regions of it.
        log_file: everything that the server tells is appended here.
        audit_log: a line of JSON for each request is appended here; `-` for standard output.
        trace_url: of an OTLP/HTTP collector (http://HOST:PORT/v1/traces): it gets the spans of every request
            while it listens.
        leaf_threads: of each leaf model in the profile embedded: 1 serves several requests best, more serve a
            single one soonest.
        ready_timeout: seconds until every model must be loaded.
        exit_timeout: seconds that accepted requests are given to finish when it stops.
        comes_back: whether a Triton that ends by itself is started anew, or whoever started this decides.
    """

    profile: Profile = "embedded"
    host: str = HOST
    grpc_port: int = 8001
    metrics_port: int = 8002
    tls: TlsFiles | None = None
    limits: Limits = field(default_factory=Limits.of)
    shared_memory: bool = True
    log_file: Path | None = None
    audit_log: Path | None = None
    trace_url: str | None = None
    leaf_threads: int = 1
    ready_timeout: float = 180.0  # the quality tier at full width is gigabytes to read
    exit_timeout: float = 120.0
    comes_back: bool = False

    def __post_init__(self) -> None:
        if self.trace_url is not None and not re.fullmatch(r"https?://[^\s/]+/\S*", self.trace_url):
            raise SetupError(  # Triton would start, and send its spans nowhere
                f"{self.trace_url!r} is not the address of a trace collector.",
                "Give one such as http://127.0.0.1:4318/v1/traces.",
            )
        if self.leaf_threads < 1:
            raise SetupError(f"leaf_threads={self.leaf_threads} runs nothing.", "Give 1 or more.")
