"""Implementation of the client; users import its public names from `lipserve`."""

from lipserve.errors import (
    AudioError,
    CancelledError,
    ConnectError,
    DeadlineExceededError,
    EngineError,
    InputError,
    InternalError,
    LimitError,
    LipServeError,
    ModelNotFoundError,
    NoFaceError,
    OptionsError,
    ProcessDiedError,
    ServerError,
    ServerFullError,
    SetupError,
    SourceError,
    StorageError,
    TransportError,
    UnavailableError,
    VideoError,
)
from lipserve.options import Options
from lipserve.report import Report
from lipserve_client._async_client import AsyncClient
from lipserve_client._cancel import CancelToken
from lipserve_client._client import Client
from lipserve_client._config import TLS
from lipserve_client._connection import Connection
from lipserve_client._headers import read_headers
from lipserve_client._results import DubResult, ModelHealth, ModelStatus, ServerHealth
from lipserve_client._smoke import SmokeCheck, SmokeResult, smoke
from lipserve_client._transports import Answer, Call, Expected, Transport
from lipserve_client._transports.mock import MockTransport

__all__ = [
    "TLS",
    "Answer",
    "AsyncClient",
    "AudioError",
    "Call",
    "CancelToken",
    "CancelledError",
    "Client",
    "ConnectError",
    "Connection",
    "DeadlineExceededError",
    "DubResult",
    "EngineError",
    "Expected",
    "InputError",
    "InternalError",
    "LimitError",
    "LipServeError",
    "MockTransport",
    "ModelHealth",
    "ModelNotFoundError",
    "ModelStatus",
    "NoFaceError",
    "Options",
    "OptionsError",
    "ProcessDiedError",
    "Report",
    "ServerError",
    "ServerFullError",
    "ServerHealth",
    "SetupError",
    "SmokeCheck",
    "SmokeResult",
    "SourceError",
    "StorageError",
    "Transport",
    "TransportError",
    "UnavailableError",
    "VideoError",
    "read_headers",
    "smoke",
]
