"""The NATS server of one machine: the real one, from its wheel, with a folder and a password of its own."""

from __future__ import annotations

import secrets
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from lipserve.errors import SetupError

_CONFIG = """\
listen: "127.0.0.1:{port}"
server_name: "lipserve"
jetstream {{ store_dir: "{folder}", max_file_store: {bytes} }}
authorization {{ user: "lipserve", password: "{password}" }}
max_payload: 8MB
"""
_STORE_BYTES = 64 << 30


@dataclass(frozen=True)
class NatsServer:
    """What starts it, and its address (with the password: for the environment of processes only)."""

    command: tuple[str, ...]
    url: str


def prepare(folder: Path, port: int) -> NatsServer:
    """Write the configuration of a server whose streams lie in `folder`.

    Raises:
        SetupError: nats-server is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    password = _password(folder / "password")
    config = folder / "server.conf"
    text = _CONFIG.format(port=port, folder=folder / "streams", bytes=_STORE_BYTES, password=password)
    config.touch(mode=0o600)
    config.write_text(text)
    return NatsServer((program(), "--config", str(config)), f"nats://lipserve:{password}@127.0.0.1:{port}")


def program() -> str:
    """Return the path of nats-server; SetupError where it is not installed."""
    found = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
    if found is None:
        raise SetupError("nats-server is not installed.", "Install it: pip install 'lipserve[jobs]'")
    return found


def _password(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(16))
    return path.read_text()
