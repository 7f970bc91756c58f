"""The bounds of a call: its time limit, and the token that gives it up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from lipserve.errors import DeadlineExceededError, OptionsError
from lipserve_client._cancel import CancelToken

SHORTER = "Set a longer timeout, or send a shorter clip."


@asynccontextmanager
async def bounded(
    limit: float | None, cancel: CancelToken | None, remedy: str = SHORTER
) -> AsyncIterator[None]:
    """Give the block so many seconds, and end it when the token is used.

    Args:
        remedy: of the error where the time is over.

    Raises:
        DeadlineExceededError: the time is over. CancelledError: the token was used.
    """
    deadline = asyncio.timeout(limit)
    try:
        with cancel.watch() if cancel else nullcontext():
            async with deadline:
                yield
    except TimeoutError:
        if not deadline.expired():  # a callback's own, or a network file system's
            raise
        raise DeadlineExceededError(
            f"The call took longer than its time limit of {limit:g} s.", remedy
        ) from None


def checked(timeout: float | None) -> float | None:
    """Return a time limit, or raise OptionsError where it is none."""
    if timeout is not None and not timeout > 0:
        raise OptionsError(f"timeout={timeout} is not above 0.", "Give seconds above 0, or None.")
    return timeout
