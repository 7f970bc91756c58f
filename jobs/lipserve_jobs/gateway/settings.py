"""How a gateway runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lipserve_jobs.queue.broker import BrokerOptions

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Oidc:
    """Whose tokens are taken beside API keys.

    Attributes:
        issuer: `iss` of the tokens; its keys are found by its discovery document, unless `jwks` names them.
        audience: `aud` that the tokens are made for.
        tenant_claim: the claim that names the tenant.
    """

    issuer: str
    audience: str
    jwks: str | None = None
    tenant_claim: str = "tenant"


@dataclass(frozen=True)
class Settings:
    """How a gateway runs.

    Attributes:
        store, endpoint: as `Store.open`.
        tenants: YAML file; None and no `oidc`: whoever reaches the port is the tenant `local`, so the
            request must name one of `hosts`, and a page of another origin may change nothing.
        session_secret: signs the page's cookies; the same for all gateways. None: one of this process.
        keep_days: that a job is kept after it was cancelled.
        private: whether files and webhooks may have addresses that are not public.
        drain_seconds: that open bodies have to end after SIGTERM.
        upload_memory: bytes that all uploads together hold.
        metrics_port: of /metrics, which names every tenant; None: the same as all else.
    """

    broker: BrokerOptions = field(default_factory=BrokerOptions)
    store: str = "build/jobs/store"
    endpoint: str | None = None
    tenants: Path | None = None
    oidc: Oidc | None = None
    session_secret: str | None = None
    hosts: tuple[str, ...] = LOCAL_HOSTS
    host: str = "127.0.0.1"
    port: int = 8080
    keep_days: float = 7.0
    private: bool = False
    drain_seconds: float = 60.0
    upload_memory: int = 24 << 20
    metrics_port: int | None = None

    @property
    def open_to_all(self) -> bool:
        """Whether nobody is asked who they are."""
        return self.tenants is None and self.oidc is None

    @property
    def keep_seconds(self) -> float:
        return self.keep_days * 86_400
