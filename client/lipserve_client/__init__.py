"""LipServe's client: a video and a speech in, the same video with lips that follow the speech out.

    from lipserve_client import Client

    with Client("127.0.0.1:8001") as client:
        result = client.sync("video.mp4", "speech.wav", output="out.mp4")
        print(result.report.frames, result.realtime_factor)

        source = client.prepare("video.mp4")  # once for many speeches
        client.sync("video.mp4", "second.wav", source=source, output="second.mp4")

Every failure is an exception of this tree, and its message ends with the remedy:

    LipServeError
    ├── InputError                 the request cannot be served as it is; sending it again will not help
    │   ├── OptionsError           an option is unknown, out of range, or contradicts another
    │   ├── VideoError             the video is empty, not a video, or damaged beyond use
    │   ├── AudioError             the speech is empty, not audio, or damaged beyond use
    │   ├── SourceError            a SOURCE is damaged, or was prepared of another video or for other faces
    │   ├── LimitError             a size, length or shape is above what the service accepts
    │   ├── NoFaceError            no face was found and `on_no_face` is `error`
    │   └── ModelNotFoundError     the server does not hold the model that the request names
    ├── ServerError                the service failed; the same request may succeed later
    │   ├── UnavailableError       starting, draining, or a stage is being brought back (retried)
    │   │   ├── ServerFullError    as many requests wait as the server allows (retried)
    │   │   └── ProcessDiedError   a process ended at work on the request (retried three times)
    │   ├── StorageError           the server's temporary directory or shared memory is full (retried)
    │   └── InternalError          a defect: the message carries what to search the server's log for
    ├── TransportError             no answer came
    │   ├── ConnectError           nothing listens at the address, or TLS did not agree (retried)
    │   ├── DeadlineExceededError  the deadline passed first
    │   └── CancelledError         a CancelToken was used (a cancelled asyncio task raises asyncio's own)
    └── SetupError                 this machine lacks a file, a package or an extra
"""

from lipserve.errors import (
    AudioError,
    CancelledError,
    ConnectError,
    DeadlineExceededError,
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
from lipserve_client._headers import read_headers
from lipserve_client._results import ModelHealth, ModelStatus, ServerHealth, SyncResult
from lipserve_client._smoke import SmokeCheck, SmokeResult, smoke
from lipserve_client._transports import Transport

__all__ = [
    "TLS",
    "AsyncClient",
    "AudioError",
    "CancelToken",
    "CancelledError",
    "Client",
    "ConnectError",
    "DeadlineExceededError",
    "InputError",
    "InternalError",
    "LimitError",
    "LipServeError",
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
    "SyncResult",
    "Transport",
    "TransportError",
    "UnavailableError",
    "VideoError",
    "read_headers",
    "smoke",
]
