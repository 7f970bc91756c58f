"""Rotation and mirroring that make a decoded picture upright, from EXIF or a display matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np
from av import VideoFrame
from av.filter import Graph
from av.sidedata.sidedata import SideData, Type

_MATRIX = int(cast(int, Type.DISPLAYMATRIX.value))
_OTHERS = [kind for kind in range(64) if kind != _MATRIX]  # more than FFmpeg knows


@dataclass(frozen=True)
class Orientation:
    """Attributes:
    rotation: degrees clockwise, 0, 90, 180 or 270.
    mirrored: left and right are exchanged before it is turned.
    """

    rotation: int = 0
    mirrored: bool = False


def orientation(frame: VideoFrame) -> Orientation:
    """Return the orientation of the frame's display matrix, to the nearest quarter turn.

    FFmpeg makes such a matrix of the orientation in EXIF, too.
    """
    matrix = _display_matrix(frame)
    if matrix is None:
        return Orientation()
    # A pixel right of another one is shown (a, b) away from it, one below it (c, d).
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    mirrored = a * d - b * c < 0
    clockwise = math.degrees(math.atan2(-b, -a) if mirrored else math.atan2(b, a))
    return Orientation(round(clockwise / 90) % 4 * 90, mirrored)


def _display_matrix(frame: VideoFrame) -> SideData | None:
    found = _alone(frame).side_data.get("DISPLAYMATRIX")
    return found if isinstance(found, SideData) else None


def _alone(frame: VideoFrame) -> VideoFrame:
    """Return the frame without any side data but its display matrix.

    PyAV 18 lists all side data of a frame or none: it cannot name what newer FFmpegs know, EXIF, say, and
    frees twice what a colour profile is called, which ends the process.
    """
    graph = Graph()
    entry = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    last = entry
    for kind in _OTHERS:
        after = graph.add("sidedata", f"mode=delete:type={kind}")
        last.link_to(after)
        last = after
    sink = graph.add("buffersink")
    last.link_to(sink)
    graph.configure()
    entry.push(frame)
    plain = sink.pull()
    assert isinstance(plain, VideoFrame)
    return plain
