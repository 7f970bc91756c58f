"""Errors of LipServe. Each has a message, a remedy, and a code and a status that carry it over gRPC.

The docstring of `lipserve` draws the tree.
"""

from __future__ import annotations

import re
from typing import ClassVar

from lipserve.text import printable

_WIRE_LENGTH = 2000  # characters: gRPC carries a message in its metadata, 16 KiB in all
_WIRE = re.compile(r"\[lipserve:(?P<code>[a-z_]+)\]\s*(?P<message>.*)", re.DOTALL)


class LipServeError(Exception):
    """The root of the tree.

    Attributes:
        code: stable name in snake_case, which travels over the wire.
        status: name of the gRPC status (and of the Triton error code) that carries it.
        retryable: whether the same request can succeed when it is sent again.
        exit_code: exit code of a command that ends with the error.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[str] = "INTERNAL"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = printable(message)  # it may quote a file name, or the text of a server
        self.remedy = printable(remedy)
        super().__init__(f"{self.message} {self.remedy}".strip())

    def to_wire(self) -> str:
        """Return the text that a Triton error carries; `from_wire` reads it back."""
        return f"[lipserve:{self.code}] {str(self)[:_WIRE_LENGTH]}"


class InputError(LipServeError):
    """The request cannot be served as it is; sending it again will not help."""

    code = "invalid_input"
    status = "INVALID_ARGUMENT"
    exit_code = 2


class OptionsError(InputError):
    """An option is unknown, out of range, or contradicts another."""

    code = "invalid_options"


class CueError(OptionsError):
    """The cues cannot be read, lie outside the video, or contradict each other."""

    code = "invalid_cues"


class VideoError(InputError):
    """The video is empty, not a video, or damaged beyond use."""

    code = "invalid_video"


class AudioError(InputError):
    """The speech is empty, not audio, or damaged beyond use."""

    code = "invalid_audio"


class SourceError(InputError):
    """The SOURCE is damaged, or was made from another video or for other faces."""

    code = "invalid_source"


class FetchError(InputError):
    """A file cannot be fetched from, or put at, the address that the request names."""

    code = "fetch_failed"


class LimitError(InputError):
    """A size, length or shape is above what the service accepts."""

    code = "limit_exceeded"


class NoFaceError(InputError):
    """The clip shows no face, and `on_no_face` is `error`."""

    code = "no_face"


class ConsentError(InputError):
    """The server makes nothing without a record of consent, and the request has none."""

    code = "consent_required"


class ModelNotFoundError(InputError):
    """The server does not have the requested model."""

    code = "model_not_found"
    status = "NOT_FOUND"


class ServerError(LipServeError):
    """The service failed; the same request may succeed later."""

    code = "server_error"
    exit_code = 3


class UnavailableError(ServerError):
    """The server starts, drains, is full, or restarts a stage."""

    code = "unavailable"
    status = "UNAVAILABLE"
    retryable = True


class ServerFullError(UnavailableError):
    """The server's queue is full."""

    code = "server_full"


class ProcessDiedError(UnavailableError):
    """A process of the server died while it worked on the request; the server restarts it."""

    code = "process_died"


class StorageError(ServerError):
    """The server's temporary directory or shared memory is full."""

    code = "storage_full"
    status = "UNAVAILABLE"
    retryable = True


class InternalError(ServerError):
    """A defect; the message says what to search for in the server's log."""

    code = "internal"


class TransportError(LipServeError):
    """The client got no answer."""

    code = "transport"
    status = "UNAVAILABLE"
    exit_code = 4


class ConnectError(TransportError):
    """Nothing listens at the address, or the TLS handshake failed."""

    code = "connect"
    retryable = True


class DeadlineExceededError(TransportError):
    """The deadline passed before the answer."""

    code = "deadline_exceeded"
    status = "DEADLINE_EXCEEDED"


class CancelledError(TransportError):
    """The caller cancelled the call."""

    code = "cancelled"
    status = "CANCELLED"


class SetupError(LipServeError):
    """This machine lacks a file, a package, an extra, or space on its disk."""

    code = "setup"
    status = "FAILED_PRECONDITION"
    exit_code = 5


class EngineError(SetupError):
    """TensorRT engines are missing, damaged, or do not fit the machine or the graphs."""

    code = "engine"


class ProvenanceError(SetupError):
    """A result cannot be signed: its certificate or key is missing, has expired, or is of no use for that."""

    code = "provenance"


def _tree(root: type[LipServeError]) -> dict[str, type[LipServeError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


def codes(root: type[LipServeError] = LipServeError) -> list[str]:
    """Return the codes of `root` and of every error below it, sorted."""
    return sorted(_tree(root))


def from_wire(text: str) -> LipServeError | None:
    """Return the typed error inside a server's message, or None where there is none.

    Triton puts text of its own before the message ("in ensemble 'wav2lip', ..."): it is dropped.
    """
    match = _WIRE.search(text)
    return None if match is None else of_code(match["code"], match["message"].strip())


def of_code(code: str, message: str, remedy: str = "") -> LipServeError:
    """Return the typed error that has a code; a code that this version does not know is an InternalError."""
    return _tree(LipServeError).get(code, InternalError)(message, remedy)
