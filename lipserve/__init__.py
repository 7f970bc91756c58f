"""LipServe: a video and a speech go in, the same video comes back with lips that follow the speech.

    from lipserve import Client

    with Client("127.0.0.1:8001") as client:
        result = client.dub("video.mp4", "speech.wav", output="out.mp4")
        print(result.report.frames, result.realtime_factor)

        source = client.prepare("video.mp4")  # once, for many speeches
        client.dub("video.mp4", "second.wav", source=source, output="second.mp4")

Long films, and many, go as jobs to a service that makes them while nobody waits (`lipserve jobs up`):

    from lipserve import Jobs

    jobs = Jobs("http://127.0.0.1:8080")
    job = jobs.submit("film.mp4", "speech.wav")
    jobs.wait(job, output="out.mp4")  # or later, from another machine, by the job's id

Every failure is an exception of this tree, and its message ends with the remedy:

    LipServeError
    ├── InputError                 the request cannot be served as it is; sending it again will not help
    │   ├── OptionsError           an option is unknown, out of range, or contradicts another
    │   │   └── CueError           cues cannot be read, lie outside the video, or contradict each other
    │   ├── VideoError             the video is empty, not a video, or damaged beyond use
    │   ├── AudioError             the speech is empty, not audio, or damaged beyond use
    │   ├── SourceError            the SOURCE is damaged, or was made from another video or for other faces
    │   ├── FetchError             a file cannot be fetched from, or put at, an address of the request
    │   ├── LimitError             a size, length or shape is above what the service accepts
    │   ├── NoFaceError            the clip shows no face, and `on_no_face` is `error`
    │   ├── ConsentError           the server makes nothing without a record of consent
    │   └── ModelNotFoundError     the server does not have the requested model
    ├── ServerError                the service failed; the same request may succeed later
    │   ├── UnavailableError       the server starts, drains, or restarts a stage (retried)
    │   │   ├── ServerFullError    the server's queue is full (retried)
    │   │   └── ProcessDiedError   a process died while it worked on the request (retried three times)
    │   ├── StorageError           the server's temporary directory or shared memory is full (retried)
    │   └── InternalError          a defect; the message says what to search for in the server's log
    ├── TransportError             the client got no answer
    │   ├── ConnectError           nothing listens at the address, or the TLS handshake failed (retried)
    │   ├── DeadlineExceededError  the deadline passed before the answer
    │   └── CancelledError         a CancelToken was used (a cancelled asyncio task raises asyncio's error);
    │                              or the job that somebody waits for was cancelled
    └── SetupError                 this machine lacks a file, a package, an extra, or space on its disk
        ├── EngineError            TensorRT engines are missing or damaged, or do not fit the machine
        └── ProvenanceError        a result cannot be signed: the certificate has expired, say
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lipserve.cues import Cue
    from lipserve.errors import (
        AudioError,
        CancelledError,
        ConnectError,
        ConsentError,
        CueError,
        DeadlineExceededError,
        EngineError,
        FetchError,
        InputError,
        InternalError,
        LimitError,
        LipServeError,
        ModelNotFoundError,
        NoFaceError,
        OptionsError,
        ProcessDiedError,
        ProvenanceError,
        ServerError,
        ServerFullError,
        SetupError,
        SourceError,
        StorageError,
        TransportError,
        UnavailableError,
        VideoError,
    )
    from lipserve.options import Consent, Options
    from lipserve.report import Report
    from lipserve_client import (
        TLS,
        Answer,
        AsyncClient,
        AsyncJobs,
        Batch,
        BlockingStream,
        Call,
        CancelToken,
        CastMember,
        CheckedFace,
        CheckResult,
        Client,
        Connection,
        DubResult,
        DubStream,
        Estimate,
        Expected,
        FacesResult,
        Fault,
        Job,
        Jobs,
        MockTransport,
        ModelHealth,
        ModelStatus,
        Provenance,
        ServerHealth,
        SmokeCheck,
        SmokeResult,
        SpeakerTurn,
        Transport,
        Usage,
        read_headers,
        smoke,
    )

    __version__: str

__all__ = [
    "TLS",
    "Answer",
    "AsyncClient",
    "AsyncJobs",
    "AudioError",
    "Batch",
    "BlockingStream",
    "Call",
    "CancelToken",
    "CancelledError",
    "CastMember",
    "CheckResult",
    "CheckedFace",
    "Client",
    "ConnectError",
    "Connection",
    "Consent",
    "ConsentError",
    "Cue",
    "CueError",
    "DeadlineExceededError",
    "DubResult",
    "DubStream",
    "EngineError",
    "Estimate",
    "Expected",
    "FacesResult",
    "Fault",
    "FetchError",
    "InputError",
    "InternalError",
    "Job",
    "Jobs",
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
    "Provenance",
    "ProvenanceError",
    "Report",
    "ServerError",
    "ServerFullError",
    "ServerHealth",
    "SetupError",
    "SmokeCheck",
    "SmokeResult",
    "SourceError",
    "SpeakerTurn",
    "StorageError",
    "Transport",
    "TransportError",
    "UnavailableError",
    "Usage",
    "VideoError",
    "__version__",
    "read_headers",
    "smoke",
]

_PLACES = ("lipserve.errors", "lipserve.cues", "lipserve.options", "lipserve.report", "lipserve_client")


def __getattr__(name: str) -> Any:
    """Return a public name, imported when it is asked for: the domain itself stays free of the network."""
    if name == "__version__":
        from importlib.metadata import version  # here: processes that start by the dozen need it not

        return version("lipserve")
    if name in __all__:
        for place in _PLACES:
            module = importlib.import_module(place)
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
