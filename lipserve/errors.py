"""Errors of LipServe: each has a remedy, and a code and status that carry it over gRPC.

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
        code: stable snake_case name, the one that travels over the wire.
        status: name of the gRPC status (and of the Triton error code) that carries it.
        retryable: whether sending the same request again can succeed.
        exit_code: of a command that ends with it.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[str] = "INTERNAL"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = printable(message)  # it may quote a name, or a server
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


class VideoError(InputError):
    """The video is empty, not a video, or damaged beyond use."""

    code = "invalid_video"


class AudioError(InputError):
    """The speech is empty, not audio, or damaged beyond use."""

    code = "invalid_audio"


class SourceError(InputError):
    """The SOURCE is no prepared video, is damaged, or was prepared of another video."""

    code = "invalid_source"


class LimitError(InputError):
    """A size, length or shape is above what the service accepts."""

    code = "limit_exceeded"


class NoFaceError(InputError):
    """No face was found and `on_no_face` is `error`."""

    code = "no_face"


class ModelNotFoundError(InputError):
    """The server does not hold the model that the request names."""

    code = "model_not_found"
    status = "NOT_FOUND"


class ServerError(LipServeError):
    """The service failed; the same request may succeed later."""

    code = "server_error"
    exit_code = 3


class UnavailableError(ServerError):
    """Starting, draining, full, or a stage is being brought back."""

    code = "unavailable"
    status = "UNAVAILABLE"
    retryable = True


class ServerFullError(UnavailableError):
    """As many requests wait as the server allows."""

    code = "server_full"


class ProcessDiedError(UnavailableError):
    """A process of the service ended while it worked on the request; it is brought back."""

    code = "process_died"


class StorageError(ServerError):
    """A disk is full."""

    code = "storage_full"
    status = "UNAVAILABLE"
    retryable = True


class InternalError(ServerError):
    """A defect: the message carries what to search the server's log for."""

    code = "internal"


class TransportError(LipServeError):
    """No answer came."""

    code = "transport"
    status = "UNAVAILABLE"
    exit_code = 4


class ConnectError(TransportError):
    """Nothing listens at the address, or TLS did not agree."""

    code = "connect"
    retryable = True


class DeadlineExceededError(TransportError):
    """The deadline passed first."""

    code = "deadline_exceeded"
    status = "DEADLINE_EXCEEDED"


class CancelledError(TransportError):
    """The caller gave up."""

    code = "cancelled"
    status = "CANCELLED"


class SetupError(LipServeError):
    """This machine lacks a file, a package or an extra that the call needs."""

    code = "setup"
    status = "FAILED_PRECONDITION"
    exit_code = 5


class EngineError(SetupError):
    """The TensorRT engines are not of this machine or of these graphs, are damaged, or there are none."""

    code = "engine"


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
    if match is None:
        return None
    cls = _tree(LipServeError).get(match["code"], InternalError)
    return cls(match["message"].strip())
