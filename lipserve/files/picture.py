"""Types of all media functions: a picture, and the properties of a video."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lipserve.errors import LimitError, VideoError
from lipserve.files.clock import Clock

MAX_SIDE = 8192  # pixels
MAX_PIXELS = 36_000_000  # of a picture: 8192 x 4320 fits
MAX_VIDEO_FRAMES = 10_000_000  # of a grid: 4.6 days at 25 frames a second
MAX_START = 4_000_000_000  # seconds, of the first timestamp: a wall clock's, until 2096

MediaSource = bytes | str | PathLike[str]
"""A media file: its bytes, or its path."""

Plane = NDArray[np.uint8]

# FFmpeg's names of what `probe` reads and `encode` writes.
PrimariesTag = Literal[
    "bt709",
    "bt470m",
    "bt470bg",
    "smpte170m",
    "smpte240m",
    "film",
    "bt2020",
    "smpte431",
    "smpte432",
    "ebu3213",
]
TransferTag = Literal[
    "bt709",
    "gamma22",
    "gamma28",
    "smpte170m",
    "smpte240m",
    "linear",
    "iec61966-2-4",
    "iec61966-2-1",
    "bt2020-10",
    "bt2020-12",
]


def check_size(width: int, height: int) -> None:
    """Raise LimitError where a picture is above what the service accepts. Zero is: not known yet.

    VideoError: where one side is and the other is above, the sizes are no sizes.
    """
    if max(width, height) > MAX_SIDE and 0 in (width, height):
        raise VideoError("The file does not state the size of its picture.", "Send the whole file.")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise LimitError(
            f"The picture is {width}x{height} pixels.",
            f"Scale it to at most {MAX_SIDE} a side and {MAX_PIXELS / 1e6:.0f} million in all.",
        )


@dataclass(frozen=True)
class Colour:
    """Colour tags of 8-bit 4:2:0 samples, as the result carries them."""

    matrix: Literal["bt601", "bt709"] = "bt709"
    full_range: bool = False
    primaries: PrimariesTag = "bt709"
    transfer: TransferTag = "bt709"


@dataclass(frozen=True)
class Picture:
    """One upright 8-bit 4:2:0 picture.

    Attributes:
        y: uint8 [H, W]; u, v: uint8 [ceil(H/2), ceil(W/2)]. Never write into them: they may be the
            decoder's own reference pictures. The rows may be padded (strides larger than the width).
        colour: the meaning of the samples.
    """

    y: Plane
    u: Plane
    v: Plane
    colour: Colour


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video, found without decoding all of it.

    Attributes:
        width, height: of the upright picture (rotation applied), in coded pixels.
        pixel_aspect: width / height of one pixel of the upright picture.
        fps: the constant rate that the frames are given at, frames a second.
        start: timestamp of the first frame, seconds.
        frames: number of frames on the constant grid.
        variable: the timestamps are not evenly spaced (they are resampled to the grid).
        still: the source is an image, or a single frame.
        rotation: degrees clockwise that the decoded picture is turned by, 0, 90, 180 or 270.
        mirrored: left and right of the decoded picture are exchanged, before it is turned.
        interlaced: some of the first pictures are two fields; fields are made into whole pictures.
        hdr: what is mapped to BT.709: the transfer of HDR (pq, hlg), or the wide gamut of BT.2020; if any.
        colour: of the 8-bit 4:2:0 pictures that the decoder gives.
        warnings: what the caller's report must say (a truncated file, say).
        clock: where the frames' times come from; all but `file` are learnt from the packets, by `scan`.
        matte: what shows through transparent parts: white, black, or #RRGGBB.
    """

    width: int
    height: int
    pixel_aspect: Fraction
    fps: Fraction
    start: Fraction
    frames: int
    variable: bool
    still: bool
    rotation: int
    hdr: Literal["pq", "hlg", "bt2020"] | None
    colour: Colour
    codec: str
    pixel_format: str
    has_audio: bool
    warnings: tuple[str, ...] = ()
    mirrored: bool = False
    interlaced: bool = False
    clock: Clock = "file"
    matte: str = "white"

    @property
    def seconds(self) -> float:
        """Length of the video on its grid."""
        return float(self.frames / self.fps)
