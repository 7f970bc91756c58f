"""Implementation of the client; users import its public names from `lipserve`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lipserve.quality.cast import CastMember, FacesResult, SpeakerTurn
from lipserve.quality.results import CheckedFace, CheckResult
from lipserve_client._async_client import AsyncClient
from lipserve_client._cancel import CancelToken
from lipserve_client._client import Client
from lipserve_client._config import TLS
from lipserve_client._connection import Connection
from lipserve_client._estimate import Estimate
from lipserve_client._headers import read_headers
from lipserve_client._provenance import Provenance
from lipserve_client._results import DubResult, ModelHealth, ModelStatus, ServerHealth
from lipserve_client._smoke import SmokeCheck, SmokeResult, smoke
from lipserve_client._stream import BlockingStream, DubStream
from lipserve_client._transports import Answer, Call, Expected, Transport
from lipserve_client._transports.mock import MockTransport

if TYPE_CHECKING:
    from lipserve_client._jobs import AsyncJobs, Batch, Fault, Job, Jobs, Usage

__all__ = [
    "TLS",
    "Answer",
    "AsyncClient",
    "AsyncJobs",
    "Batch",
    "BlockingStream",
    "Call",
    "CancelToken",
    "CastMember",
    "CheckResult",
    "CheckedFace",
    "Client",
    "Connection",
    "DubResult",
    "DubStream",
    "Estimate",
    "Expected",
    "FacesResult",
    "Fault",
    "Job",
    "Jobs",
    "MockTransport",
    "ModelHealth",
    "ModelStatus",
    "Provenance",
    "ServerHealth",
    "SmokeCheck",
    "SmokeResult",
    "SpeakerTurn",
    "Transport",
    "Usage",
    "read_headers",
    "smoke",
]

_JOBS = frozenset({"AsyncJobs", "Batch", "Fault", "Job", "Jobs", "Usage"})


def __getattr__(name: str) -> Any:
    """Return a public name of jobs, imported when it is asked for: most callers send none."""
    if name in _JOBS:
        return getattr(importlib.import_module("lipserve_client._jobs"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
