"""Deinterlacing with FFmpeg's bwdif: two fields to one picture."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from itertools import groupby
from typing import TypeVar

import av
from av import VideoFrame
from av.filter import Graph
from av.video.format import VideoFormat

CONTEXT = 1  # frames before and after, that a picture is made of too

_T = TypeVar("_T")


def deinterlaced(frames: Iterable[tuple[_T, VideoFrame]]) -> Generator[tuple[_T, VideoFrame], None, None]:
    """Yield a picture for each frame, with what stands beside it; frames that are no fields come unchanged.

    A run of frames of one size and format is filtered together; what the decoder tells of a frame says which
    of its fields comes first.
    """
    for (width, height, name), run in groupby(frames, key=_shape):
        graph = Graph()
        graph.threads = 1
        entry = graph.add_buffer(
            width=width, height=height, format=VideoFormat(name, width, height), time_base=Fraction(1, 25)
        )
        bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        sink = graph.add("buffersink")
        entry.link_to(bwdif)
        bwdif.link_to(sink)
        graph.configure()
        waiting: deque[_T] = deque()
        for number, (mark, frame) in enumerate(run):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            waiting.append(mark)
            entry.push(frame)
            yield from _ready(graph, waiting)
        entry.push(None)
        yield from _ready(graph, waiting)


def _shape(marked: tuple[object, VideoFrame]) -> tuple[int, int, str]:
    frame = marked[1]
    return frame.width, frame.height, frame.format.name


def _ready(graph: Graph, waiting: deque[_T]) -> Iterator[tuple[_T, VideoFrame]]:
    while True:
        try:
            frame = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield waiting.popleft(), frame
