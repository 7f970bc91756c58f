"""Callers that still wait for an answer: one file per request, removed when its caller leaves.

Triton does not tell a stage inside an ensemble that the ensemble's caller has gone. The guard knows, so it
keeps an empty file for every caller that waits and sends its name along, as a parameter that reaches every
step; a stage looks whether it is still there.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PARAMETER = "lipserve_caller"
"""Name of the request parameter; only the guard sets it."""

VARIABLE = "LIPSERVE_CALLERS"
"""The environment variable that tells the stages where the files are."""


class Callers:
    """The callers that wait, seen from the guard.

    Args:
        folder: is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)

    def enter(self) -> str:
        """Register a new waiting caller and return its name."""
        name = secrets.token_hex(8)
        (self.folder / name).touch(mode=0o600)
        return name

    def leave(self, name: str) -> None:
        """Remove a caller that got its answer or left. Idempotent."""
        (self.folder / name).unlink(missing_ok=True)


def waits(name: str) -> bool:
    """Return whether the caller of that name may still be waiting; cheap enough to poll."""
    folder = os.environ.get(VARIABLE)
    return not (folder and name.isalnum()) or os.path.exists(f"{folder}/{name}")
