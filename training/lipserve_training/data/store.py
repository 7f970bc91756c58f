"""A dataset on disk: `index.json` and one file per clip.

The index tells the VERSION of the format. The second has a mesh for every frame, and crops as dense as their
source.
"""

from __future__ import annotations

import errno
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from lipserve.errors import SetupError, StorageError
from lipserve_export.fetch.files import write_atomically

INDEX = "index.json"
VERSION: Final = 2
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 97, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


class Entry(BaseModel):
    """The entry of a clip in the index.

    Attributes:
        clip: its name, which is that of its file.
        speaker: who speaks: samples are drawn by speaker, validation holds out whole ones.
        frames: at 25 fps.
        source: the video's path under the folder that was prepared, and its sha256.
        first_frame: where it begins in the video, at 25 fps.
        offset: frames that the lips came later than the sound; the stored sound is moved by it.
        sync: correlation of the lips with what the sound asks for, at that offset (`meter`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    clip: str
    speaker: str
    frames: int
    source: str
    sha256: str
    first_frame: int
    offset: int
    sync: float


class _Index(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[2] = VERSION
    clips: list[Entry]


@dataclass(frozen=True)
class Clip:
    """A stretch of one face at 25 fps.

    Attributes:
        images: JPEGs uint8 [n] of its F crops, all of one size.
        samples: float32 [640 F], 16 kHz.
        lips: float64 [F, 4], `lips.MEASURES`.
        meshes: float32 [F, 468, 3], in sides of the unit face crop, which is the middle of a stored one.
    """

    images: list[NDArray[np.uint8]]
    samples: NDArray[np.float32]
    lips: NDArray[np.float64]
    meshes: NDArray[np.float32]

    def image(self, frame: int, size: int | None = None) -> NDArray[np.uint8]:
        """Return one crop, uint8 [S, S, 3] RGB, as it is stored or, where that is larger, of a given size."""
        stored = np.asarray(cv2.imdecode(self.images[frame], cv2.IMREAD_COLOR_RGB), np.uint8)
        if size is None or len(stored) <= size:
            return stored
        return np.asarray(cv2.resize(stored, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def encode(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a crop [S, S, 3] RGB as JPEG bytes, uint8 [n]."""
    _, data = cv2.imencode(".jpg", crop[:, :, ::-1], _JPEG)
    return np.asarray(data, np.uint8).reshape(-1)


def write(folder: Path, name: str, clip: Clip) -> None:
    """Write a clip's file, whole or not at all.

    Raises:
        StorageError: the disk is full. SetupError: the folder cannot be written.
    """
    buffer = io.BytesIO()
    ends = np.cumsum([len(image) for image in clip.images])
    np.savez(
        buffer,
        images=np.concatenate(clip.images),
        ends=ends,
        samples=np.round(clip.samples * 32767).clip(-32768, 32767).astype(np.int16),
        lips=clip.lips,
        meshes=clip.meshes,
    )
    save(path(folder, name), buffer.getvalue())


def path(folder: Path, name: str) -> Path:
    """Return where a clip's file lies."""
    return folder / "clips" / f"{name}.npz"


def read(folder: Path, name: str) -> Clip:
    """Return a clip; its crops are decoded when they are asked for.

    Raises:
        SetupError: its file is missing or damaged.
    """
    file = path(folder, name)
    try:
        with file.open("rb") as opened, np.load(opened) as held:
            images = np.split(held["images"], held["ends"][:-1])
            samples = held["samples"].astype(np.float32) / 32767
            return Clip(images, samples, held["lips"], held["meshes"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SetupError(
            f"{file} is not a clip of a dataset, or is damaged: {error}.",
            "Delete it, and prepare the dataset again: only that video is processed again.",
        ) from error


def write_index(folder: Path, entries: Sequence[Entry]) -> None:
    """Write the index of a dataset, sorted by the names of the clips."""
    index = _Index(clips=sorted(entries, key=lambda entry: entry.clip)).model_dump()
    save(folder / INDEX, (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode())


def read_index(folder: Path) -> list[Entry]:
    """Return the clips of a dataset, or raise SetupError."""
    remedy = "Make one: lipserve train prepare FOLDER -o DATASET."
    try:
        content = json.loads((folder / INDEX).read_bytes())
        if isinstance(content, list) or (isinstance(content, dict) and content.get("version") != VERSION):
            raise SetupError(
                f"{folder} is a dataset of another version of LipServe.",
                "Prepare it again: lipserve train prepare FOLDER -o DATASET.",
            )
        entries = _Index.model_validate(content).clips
    except FileNotFoundError as error:
        raise SetupError(f"{folder} is not a dataset: it has no {INDEX}.", remedy) from error
    except (OSError, ValueError, ValidationError) as error:
        raise SetupError(f"{folder / INDEX} cannot be read: {error}", remedy) from error
    if not entries:
        raise SetupError(
            f"{folder} holds no clip.", "Its report.json gives the reason for each dropped video."
        )
    return entries


def save(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        StorageError: the disk is full. SetupError: the folder cannot be written.
    """
    try:
        write_atomically(path, data)
    except OSError as error:
        raise _refusal(path, error) from error


def make(folder: Path) -> None:
    """Make the folder of a dataset, or raise as `save` does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refusal(folder, error) from error


def sweep(folder: Path) -> None:
    """Delete what processes that were ended in the middle of writing left behind."""
    for unfinished in (*folder.glob("clips/.*"), *folder.glob("videos/.*")):
        unfinished.unlink(missing_ok=True)


def _refusal(path: Path, error: OSError) -> StorageError | SetupError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(
            f"{path} cannot be written: the disk is full.",
            "Free some space, and run the same command again: finished work is kept.",
        )
    return SetupError(f"{path} cannot be written: {error.strerror}.", "Give a folder that can be written.")
