"""The audit log: one line of JSON for each request, with the digests of its files and nothing of them."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from lipserve.errors import SetupError
from lipserve.report import Report
from lipserve_server.launcher.guard.message import Message

STANDARD_OUTPUT = Path("-")
_FILES = ("VIDEO", "AUDIO")  # inputs whose digests are told
_LONGEST = 64  # characters of a request's own id


class AuditLog:
    """Writes to a file, or to standard output.

    Args:
        path: is appended to; `STANDARD_OUTPUT` for that.

    Raises:
        SetupError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._handler = logging.StreamHandler(sys.stdout) if path == STANDARD_OUTPUT else _file(path)
        except OSError as error:
            raise SetupError(
                f"The audit log {path} cannot be written: {error.strerror}.", "Name another file."
            ) from error
        self._logger = logging.Logger("lipserve.server.audit", logging.INFO)  # no part of the server's log
        self._logger.addHandler(self._handler)

    def close(self) -> None:
        self._handler.close()

    def write(
        self, client: str, began: float, outcome: str, message: Message | None, report: Report | None
    ) -> None:
        """Write the line of a request that has ended.

        Args:
            began: `time.time()` when it came.
            outcome: ok, or the code of the error.
            message: None where it was refused before it was read.
            report: None where it has none.
        """
        line: dict[str, Any] = {"time": round(began, 3), "client": client, "outcome": outcome}
        line["seconds"] = round(time.time() - began, 3)
        if message is not None:
            line |= {"model": message.model[:_LONGEST], "request": message.header.id[:_LONGEST]}
            line["bytes"] = sum(len(tensor) for tensor in message.tensors)
            contents = {name: message.text(name) for name in _FILES}
            line |= {
                f"{name.lower()}_sha256": hashlib.sha256(content).hexdigest()
                for name, content in contents.items()
                if content is not None
            }
        if report is not None:
            line |= {"frames": report.frames, "weights": report.weights}
        self._logger.info("%s", json.dumps(line))


def _file(path: Path) -> logging.FileHandler:
    path.parent.mkdir(parents=True, exist_ok=True)
    return logging.FileHandler(path)
