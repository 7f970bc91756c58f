"""Who still waits for an answer: a file for each request, which goes when its caller does.

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
        """Return the name of a caller that waits from now on."""
        name = secrets.token_hex(8)
        (self.folder / name).touch(mode=0o600)
        return name

    def leave(self, name: str) -> None:
        """Forget a caller, who has his answer or has gone; again does nothing."""
        (self.folder / name).unlink(missing_ok=True)


def waits(name: str) -> bool:
    """Return whether the caller of that name still waits, as far as this process can know: cheap."""
    folder = os.environ.get(VARIABLE)
    return not (folder and name.isalnum()) or os.path.exists(f"{folder}/{name}")
