"""Who may send jobs, and how many."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lipserve.errors import OptionsError, SetupError
from lipserve_jobs.records.refusal import refusal

NAME = r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$"
LOCAL = "local"  # who calls, where nobody is asked
WEBHOOK_SECRET = r"^whsec_[A-Za-z0-9+/]{32,88}={0,2}$"


class Quota(BaseModel):
    """What a tenant may use. None: no bound.

    Attributes:
        jobs: that have not ended. segments: in work at once.
        seconds: of results, in a calendar month (UTC). bytes: of files that are kept.
        upload_bytes: of one file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: Annotated[int, Field(ge=1)] | None = 1000
    segments: Annotated[int, Field(ge=1)] | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None
    bytes: Annotated[int, Field(gt=0)] | None = None
    upload_bytes: Annotated[int, Field(gt=0)] = 4 << 30


class Tenant(BaseModel):
    """A tenant.

    Attributes:
        keys: SHA-256 of its API keys, in hexadecimal.
        weight: its share beside the others'.
        webhook_secret: signs what its webhooks are told: `whsec_` and base64 of 24 to 64 bytes.
        price_per_hour: of work, in any currency, for its cost.
        fetch: hosts that its files come from, and its results and webhooks go to: names, or `.example.com`
            for all below one. None: all public ones.
        buckets: `bucket` or `bucket/prefix/`, whose objects its s3:// addresses may read and write with the
            service's own rights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=NAME)]
    keys: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    quota: Quota = Quota()
    webhook_secret: Annotated[str, Field(pattern=WEBHOOK_SECRET)] | None = None
    price_per_hour: Annotated[float, Field(ge=0)] | None = None
    fetch: tuple[str, ...] | None = None
    buckets: tuple[str, ...] = ()


class Tenants(BaseModel):
    """All tenants of a service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenants: tuple[Tenant, ...] = ()
    default: Quota = Field(default=Quota(), description="of tenants that only a token names")

    @classmethod
    def of(cls, fields: Any) -> Self:
        """Return the tenants of decoded YAML; OptionsError names the first field that is wrong."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise refusal("The list of tenants", error, "See docs/jobs/tenants.md.") from error

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return the tenants of a YAML file; SetupError where it cannot be read."""
        try:
            return cls.of(yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {})
        except (OSError, ValueError, yaml.YAMLError, OptionsError) as error:
            raise SetupError(
                f"The tenants of {path} cannot be read: {error}", "See docs/jobs/tenants.md."
            ) from error

    def by_key(self, key: str) -> Tenant | None:
        """Return whose API key it is; all are compared, each in constant time."""
        digest = hashlib.sha256(key.encode()).hexdigest()
        found = None
        for tenant in self.tenants:
            for known in tenant.keys:
                if hmac.compare_digest(known, digest):
                    found = tenant
        return found

    def named(self, name: str) -> Tenant:
        """Return a tenant by name; one that only a token names has the default quota."""
        for tenant in self.tenants:
            if tenant.name == name:
                return tenant
        return Tenant(name=name, quota=self.default)
