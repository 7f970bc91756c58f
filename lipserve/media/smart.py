"""Smart rendering: which frames of a video can be copied, packets unchanged, into a result of H.264."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lipserve.files.picture import MediaSource, VideoInfo
from lipserve.files.timeline import Grid
from lipserve.media.demux import packets
from lipserve.media.h264 import ParameterSets, begins_anew
from lipserve.media.index import VideoIndex
from lipserve.media.opening import open_video
from lipserve.segments import Span


@dataclass(frozen=True)
class Copyable:
    """The frames of a video whose packets can stand in a result as they are.

    Attributes:
        groups: closed groups of pictures, in order, as spans of grid frames; none: nothing can be copied.
        sets: the video's parameter sets.
        delay: frames that decoding runs ahead of showing.
    """

    groups: tuple[Span, ...] = ()
    sets: ParameterSets | None = None
    delay: int = 0

    def within(self, span: Span, longest: int) -> list[tuple[Span, bool]]:
        """Divide a stretch of frames into what is copied (True) and what must be encoded (False), in order.

        Args:
            longest: frames of one part, about: groups are put together up to it.
        """
        parts: list[tuple[Span, bool]] = []
        at = span.first
        for group in self.groups:
            if group.first < at or group.stop > span.stop:
                continue
            parts += _encoded(at, group.first, longest)
            last = parts[-1] if parts else None
            if last and last[1] and last[0].stop == group.first and last[0].count + group.count <= longest:
                parts[-1] = (Span(last[0].first, last[0].count + group.count), True)
            else:
                parts.append((group, True))
            at = group.stop
        return parts + _encoded(at, span.stop, longest)


def copyable(source: MediaSource, index: VideoIndex, info: VideoInfo) -> Copyable:
    """Return what can be copied of a video: closed groups of H.264 of 8 bits in 4:2:0, evenly timed.

    The picture must be as the result's is: upright, whole pictures, even sides. A stream that keeps its
    parameter sets in its packets alone (MPEG-TS) is not copied.
    """
    if not _fits(index, info):
        return Copyable()
    with open_video(source) as (container, stream):
        sets = ParameterSets.read(stream.codec_context.extradata)
        if sets is None:
            return Copyable()
        fresh = [
            packet.is_keyframe and begins_anew(bytes(packet)) for packet in packets(container, stream, [])
        ]
    if len(fresh) != len(index.pts):
        return Copyable()
    grid = Grid(info.start, info.fps, index.time_base)
    frames = np.array([grid.earliest(pts) for pts in index.pts.tolist()])
    edges = [*np.flatnonzero(fresh).tolist(), len(frames)]
    groups: list[Span] = []
    delay = 0
    for begin, end in pairwise(edges):
        shown = frames[begin:end]
        if (np.sort(shown) == shown[0] + np.arange(end - begin)).all() and shown[0] >= 0:
            groups.append(Span(int(shown[0]), end - begin))
            delay = max(delay, int((np.arange(end - begin) - (shown - shown[0])).max()))
    return Copyable(tuple(groups), sets, delay)


def _fits(index: VideoIndex, info: VideoInfo) -> bool:
    return (
        info.codec == "h264"
        and info.pixel_format in ("yuv420p", "yuvj420p")
        and not (info.interlaced or info.rotation or info.mirrored or info.variable or info.hdr)
        and info.width % 2 == info.height % 2 == 0
        and index.clock == "file"
        and index.cuttable
        and len(index.pts) == info.frames
        and not index.hidden.any()
    )


def _encoded(first: int, stop: int, longest: int) -> list[tuple[Span, bool]]:
    if first >= stop:
        return []
    edges = [*range(first, stop, max(1, longest)), stop]
    return [(Span(begin, end - begin), False) for begin, end in pairwise(edges)]
