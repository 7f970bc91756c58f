"""Which way is up, from a display matrix or from EXIF."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lipserve.files.picture import Picture
from lipserve.media.decode import read
from lipserve.media.orientation import Orientation, orientation
from lipserve.media.probe import probe

Clip = Callable[..., bytes]

# EXIF's eight values, each as numpy makes the upright picture of the stored one.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: np.swapaxes(image, 0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(np.swapaxes(image, 0, 1), 2),
    8: lambda image: np.rot90(image, 1),
}


def exif(value: int) -> bytes:
    """Return a TIFF directory of one entry: Orientation."""
    return b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, value, 0, 0)


def jpeg_with(value: int, jpeg: bytes) -> bytes:
    body = b"Exif\0\0" + exif(value)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def png_with(value: int, png: bytes) -> bytes:
    body = b"eXIf" + exif(value)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]


def _luma(data: bytes) -> np.ndarray:
    picture: Picture = next(read(data, probe(data)))
    return picture.y


@pytest.mark.parametrize("value", UPRIGHT)
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_picture_is_turned_and_mirrored_as_its_exif_says(clip: Clip, kind: str, value: int) -> None:
    if kind == "jpeg":
        plain = clip(1, codec="mjpeg", container="image2pipe", pix_fmt="yuvj420p")
        marked = jpeg_with(value, plain)
    else:
        plain = clip(1, codec="png", container="image2pipe", pix_fmt="rgb24")
        marked = png_with(value, plain)
    info = probe(marked)
    expected = UPRIGHT[value](_luma(plain))
    assert (info.height, info.width) == expected.shape
    assert np.array_equal(_luma(marked), expected)
    assert info.warnings == ()


def test_a_tiff_is_a_picture_like_any(clip: Clip) -> None:
    ok, data = cv2.imencode(".tiff", np.full((40, 60, 3), 90, np.uint8))
    assert ok
    info = probe(data.tobytes())
    assert (info.width, info.height, info.still, info.codec) == (60, 40, True, "tiff")


def test_a_video_that_asks_to_be_mirrored_is(clip: Clip) -> None:
    plain = clip(3)
    at = plain.index(b"tkhd") + 4 + 40  # the matrix: a b u c d v x y w
    mirrored = plain[:at] + struct.pack(">i", -65536) + plain[at + 4 :]
    info = probe(mirrored)
    assert (info.mirrored, info.rotation) == (True, 0)
    assert np.array_equal(_luma(mirrored), np.fliplr(_luma(plain)))


def test_side_data_that_the_library_cannot_name_is_left_alone(clip: Clip) -> None:
    data = jpeg_with(6, clip(1, codec="mjpeg", container="image2pipe", pix_fmt="yuvj420p"))
    with av.open(io.BytesIO(data)) as container:
        frame = next(container.decode(video=0))
    assert orientation(frame) == Orientation(rotation=90)


_PROFILE = """
import gc, sys
from lipserve.media.probe import probe
for _ in range(3):
    info = probe(sys.argv[1])
    gc.collect()
print(info.rotation)
"""


def test_a_colour_profile_ends_no_process(clip: Clip, tmp_path: Path) -> None:
    plain = png_with(6, clip(1, codec="png", container="image2pipe", pix_fmt="rgb24"))
    body = b"iCCP" + b"Display P3\0\0" + zlib.compress(bytes(500))
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    path = tmp_path / "screenshot.png"
    path.write_bytes(plain[:33] + chunk + plain[33:])
    done = subprocess.run([sys.executable, "-c", _PROFILE, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "90\n")
