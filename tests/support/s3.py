"""A real server of the S3 protocol over a folder: rclone."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from pathlib import Path
from sys import executable
from typing import Self

from tests.support.ports import free_port
from tests.support.waiting import until

RCLONE = Path(executable).parent / "rclone"
KEY, SECRET = "test-key", "test-secret"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What clients of the server need."""


class S3Server:
    """A server on a port and a folder of its own; the buckets are the folders in it.

    Args:
        buckets: that are made, if they are missing.
    """

    def __init__(self, folder: Path, *buckets: str) -> None:
        self.folder, self.port = folder, free_port("127.0.0.1")
        self.process: subprocess.Popen[bytes] | None = None
        for bucket in buckets:
            (folder / bucket).mkdir(parents=True, exist_ok=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it, and return when it takes connections."""
        self.process = subprocess.Popen(
            [
                RCLONE,
                *("serve", "s3", self.folder, "--addr", f"127.0.0.1:{self.port}"),
                *("--auth-key", f"{KEY},{SECRET}", "--config", os.devnull, "--log-level", "ERROR"),
                *("--vfs-cache-mode", "off", "--dir-cache-time", "1s"),
            ],
            stdout=subprocess.DEVNULL,
        )
        until(self._listens, "rclone listens")
        return self

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "rclone has ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        """End it at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
