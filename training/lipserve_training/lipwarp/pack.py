"""Format of a packed dataset: one file of mouths, their points and shapes, and the speech.

What does not fit is left out clip by clip, first of those who say the most.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lipserve.errors import SetupError
from lipserve_training.data import store
from lipserve_training.lipwarp import footage
from lipserve_training.lipwarp.footage import Footage

VERSION: Final = 1
SIZE = 144  # pixels, side of a stored mouth with what is around it: 9 for 8 of the mouth crop
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 85]
_FULL_SCALE = 32767
_BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def write(
    path: Path, dataset: Path, chosen: Sequence[store.Entry], limit: int, on_done: Callable[[], None]
) -> list[store.Entry]:
    """Write clips of a dataset into one file of at most `limit` bytes, and return which.

    Equal clips give equal bytes.

    Args:
        on_done: called for every clip that was looked at.

    Raises:
        SetupError: not even one clip fits; or the file cannot be written. StorageError: the disk is full.
    """
    made: dict[str, bytes] = {}
    for entry in chosen:
        made[entry.clip] = _to_bytes(footage.read(dataset, entry))
        on_done()
    kept = _fitting(chosen, {name: len(data) for name, data in made.items()}, limit)
    if not kept:
        raise SetupError(f"No clip fits {limit} bytes.", "Allow a larger file with --megabytes.")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        index = {"version": VERSION, "clips": [entry.model_dump() for entry in kept]}
        file.writestr(zipfile.ZipInfo(store.INDEX), json.dumps(index, ensure_ascii=False))
        for entry in kept:
            file.writestr(zipfile.ZipInfo(entry.clip), made[entry.clip])
    store.save(path, buffer.getvalue())
    return kept


def entries(path: Path) -> list[store.Entry]:
    """Return the clips of a pack, or raise SetupError."""
    try:
        with zipfile.ZipFile(path) as file:
            index = json.loads(file.read(store.INDEX))
        if index["version"] != VERSION:
            raise SetupError(f"{path} is a pack of another version of LipServe.", "Pack the dataset again.")
        return [store.Entry.model_validate(row) for row in index["clips"]]
    except (*_BROKEN, TypeError, ValidationError) as error:
        raise _damaged(path, error) from error


def read(path: Path, entry: store.Entry, pictures: bool = True) -> Footage:
    """Return a clip of a pack, or raise SetupError."""
    try:
        with zipfile.ZipFile(path) as file, np.load(io.BytesIO(file.read(entry.clip))) as held:
            mouths = None
            if pictures:
                parts = np.split(held["images"], held["ends"][:-1])
                mouths = np.stack([cv2.imdecode(part, cv2.IMREAD_COLOR_RGB) for part in parts])
            return Footage(
                entry,
                held["samples"].astype(np.float32) / _FULL_SCALE,
                held["lips"].astype(np.float64),
                held["points"].astype(np.float32),
                held["shapes"].astype(np.float64),
                None if mouths is None else np.asarray(mouths, np.uint8),
                held["placement"],
            )
    except (*_BROKEN, cv2.error) as error:
        raise _damaged(path, error) from error


def _to_bytes(clip: Footage) -> bytes:
    assert clip.mouths is not None
    height, width = clip.mouths.shape[1:3]
    images = [_encoded(mouth) for mouth in clip.mouths]
    gain = np.array(
        [[width / SIZE, 0, 0.5 * width / SIZE - 0.5], [0, height / SIZE, 0.5 * height / SIZE - 0.5]]
    )
    placement = clip.placement[:, :2] @ gain
    placement[:, 2] += clip.placement[:, 2]
    values: dict[str, NDArray[Any]] = {
        "images": np.concatenate(images),
        "ends": np.cumsum([len(image) for image in images]),
        "samples": np.round(clip.samples * _FULL_SCALE).clip(-32768, 32767).astype(np.int16),
        "lips": clip.lips.astype(np.float32),
        "points": clip.points.astype(np.float16),  # to a sixteenth of a pixel
        "shapes": clip.shapes.astype(np.float32),
        "placement": placement,
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **values)
    return buffer.getvalue()


def _encoded(mouth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small = cv2.resize(mouth, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.imencode(".jpg", small[:, :, ::-1], _QUALITY)[1], np.uint8).reshape(-1)


def _fitting(chosen: Sequence[store.Entry], sizes: dict[str, int], limit: int) -> list[store.Entry]:
    """Return what is left where the speaker of the most bytes gives up a clip until all fit.

    Which one is told by the digest of its name, so that they come from everywhere.
    """
    left: dict[str, list[store.Entry]] = defaultdict(list)
    for entry in sorted(chosen, key=lambda entry: zlib.crc32(entry.clip.encode())):
        left[entry.speaker].append(entry)
    names = sum(2 * len(entry.clip) + len(entry.model_dump_json()) + 256 for entry in chosen)
    total = sum(sizes[entry.clip] for entry in chosen) + names
    while left and total > limit:
        speaker = max(left, key=lambda name: sum(sizes[entry.clip] for entry in left[name]))
        total -= sizes[left[speaker].pop().clip]
        if not left[speaker]:
            del left[speaker]
    kept = {entry.clip for clips in left.values() for entry in clips}
    return [entry for entry in chosen if entry.clip in kept]


def _damaged(path: Path, error: Exception) -> SetupError:
    return SetupError(
        f"{path} is not a packed dataset, or is damaged: {error}.",
        "Pack the dataset again: lipserve train pack.",
    )
