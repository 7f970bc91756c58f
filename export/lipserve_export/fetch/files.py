"""Source files of exports: those that come with LipServe, and public ones checked by sha256."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lipserve import digests
from lipserve.errors import SetupError

MEDIAPIPE = "mediapipe==0.10.21"
_WHEELS = "mediapipe-0.10.21-*.whl"
_DOWNLOAD_SECONDS = 300


@dataclass(frozen=True)
class Pinned:
    """A network: where it lies (inside the wheel, for MediaPipe's) and its sha256."""

    name: str
    sha256: str
    source: str


FACE_MESH = Pinned(
    "mediapipe/modules/face_landmark/face_landmark.tflite",
    "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    "MediaPipe face mesh, 468 points (Apache-2.0)",
)
YUNET = Pinned(
    "face_detection_yunet_2026may.onnx",
    "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
    "YuNet, OpenCV Zoo (MIT)",
)


def sha256(data: bytes) -> str:
    """Return the hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the hexadecimal digest of a file that need not fit into memory, or raise SetupError."""
    try:
        return digests.file_sha256(path)
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}.", "Give the path of a file that can be read.") from error


def checked(data: bytes, pinned: Pinned, origin: str) -> bytes:
    """Return `data`, or raise SetupError where it is not the pinned file."""
    if sha256(data) != pinned.sha256:
        raise SetupError(
            f"{origin} is not {pinned.name}: its sha256 is {sha256(data)}, not {pinned.sha256}.",
            "Download the file again from its publisher.",
        )
    return data


def cache_folder() -> Path:
    """Return the folder that keeps downloads between runs: $XDG_CACHE_HOME/lipserve, or ~/.cache/lipserve."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lipserve"


def shipped_file(name: str) -> Path:
    """Return a file that comes with LipServe: the checkout's, in weights/, or the installed package's copy.

    Raises:
        SetupError: it is in neither.
    """
    package = Path(__file__).resolve().parents[1]
    for path in (package.parents[1] / "weights" / name, package / "weights" / name):
        if path.is_file():
            return path
    raise SetupError(f"{name} is not installed.", "Reinstall with: pip install 'lipserve[export]'.")


def read_bytes(path: Path) -> bytes:
    """Return a file that the user names, or raise SetupError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}.", "Give the path of a file that can be read.") from error


def mediapipe_wheel(given: Path | None, say: Callable[[str], None]) -> Path:
    """Return the wheel given, the one in the cache, or the one fetched into the cache."""
    if given is not None:
        return given
    cache = cache_folder()
    cached = sorted(cache.glob(_WHEELS))
    if cached:
        return cached[0]
    say(f"fetching {MEDIAPIPE} into {cache} (once; it is read, never installed)")
    cache.mkdir(parents=True, exist_ok=True)
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(cache), MEDIAPIPE]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
        raise SetupError(
            f"{MEDIAPIPE} could not be downloaded: {' '.join(reason)}",
            f"Run `pip download --no-deps {MEDIAPIPE}` on a machine with a network, and give the wheel with "
            "--mediapipe.",
        ) from error
    return sorted(cache.glob(_WHEELS))[0]


def from_wheel(wheel: Path, pinned: Pinned) -> bytes:
    """Return one file out of a wheel."""
    remedy = f"Give the wheel of {MEDIAPIPE} with --mediapipe, or delete the copy in {cache_folder()}."
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(pinned.name)
    except OSError as error:
        raise SetupError(f"{wheel}: {error.strerror}.", remedy) from error
    except (zipfile.BadZipFile, KeyError) as error:
        raise SetupError(f"{wheel} is not a wheel with the file {pinned.name}.", remedy) from error
    return checked(data, pinned, f"{pinned.name} in {wheel.name}")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that is either whole or absent, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
