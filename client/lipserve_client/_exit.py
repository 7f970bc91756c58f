"""The exit codes of `lipserve`."""

from __future__ import annotations

from lipserve.errors import InputError, LipServeError, ServerError, SetupError, TransportError

EXIT_INPUT = 2
EXIT_SERVER = 3
EXIT_TRANSPORT = 4
EXIT_SETUP = 5
EXIT_INTERRUPTED = 130

_CODES: tuple[tuple[type[LipServeError], int], ...] = (
    (InputError, EXIT_INPUT),
    (ServerError, EXIT_SERVER),
    (TransportError, EXIT_TRANSPORT),
    (SetupError, EXIT_SETUP),
)


def exit_code(error: LipServeError) -> int:
    """Return the exit code of the branch of the tree that `error` is on."""
    return next((code for cls, code in _CODES if isinstance(error, cls)), 1)
