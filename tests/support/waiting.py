"""Waiting for a condition, with a limit that ends a hang and measures nothing."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(
    condition: Callable[[], object],
    what: str | Callable[[], str] = "the condition did not hold",
    seconds: float = 120.0,
) -> float:
    """Return, as soon as a condition holds, after how many seconds it did.

    Args:
        what: what the test says where it does not hold; a function is called only then.
        seconds: after which it is given up: so many that nothing but a hang takes as long.
    """
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.01)
    return time.monotonic() - began
