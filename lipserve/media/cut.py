"""Cutting of a video without encoding: whole groups of pictures, packets unchanged."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lipserve.contracts import SAMPLE_RATE
from lipserve.files.picture import MediaSource, VideoInfo
from lipserve.files.source import content
from lipserve.files.timeline import Grid, Ticks
from lipserve.media.deinterlace import CONTEXT
from lipserve.media.demux import VideoPacket, packets, packets_covering
from lipserve.media.index import VideoIndex
from lipserve.media.opening import open_video

_MARKED = {"dnxhd", "dvvideo", "ffv1", "h264", "mpeg2video", "mpeg4", "prores", "utvideo", "vc1"}
"""Codecs whose frames say themselves that they are fields; NUT does not keep the container's word for it."""


@dataclass(frozen=True)
class Sound:
    """Sound that goes with a cut: float32 [n] at 16 kHz, and when it begins, seconds by the video's clock."""

    samples: NDArray[np.float32]
    begin: Fraction


def cut(
    source: MediaSource,
    index: VideoIndex,
    info: VideoInfo,
    first: int,
    count: int,
    sound: Sound | None = None,
) -> bytes:
    """Return a file from which `read(..., info, first, count)` gives the same pictures as from `source`.

    It holds the video packets from the key frame at or before grid frame `first` through the last one that
    grid frame `first + count - 1` needs, in NUT, which keeps timestamps exactly; nothing is encoded. What
    NUT does not keep (rotation, colour, aspect) is in `info`. Where the stretch cannot be cut out, the bytes
    of the whole source are returned.

    Args:
        sound: travels beside the pictures; None: the file has none.
    """
    return piece(source, index, info, first, count, sound) or content(source)


def piece(
    source: MediaSource,
    index: VideoIndex,
    info: VideoInfo,
    first: int,
    count: int,
    sound: Sound | None = None,
) -> bytes | None:
    """Return the file of `cut`, or None if a stretch cannot be cut out.

    So it is where packets have no timestamps or negative ones, where an edit list hides frames, where the
    container alone says that frames are fields, and where NUT does not know the codec.
    """
    if not index.cuttable or (info.interlaced and info.codec not in _MARKED):
        return None
    grid = Grid(info.start, info.fps, index.time_base)
    low, high = grid.latest(first), grid.latest(first + max(1, count) - 1)
    if info.interlaced:
        low, high = _with_context(index.times, low, high)
    stretch = slice(*_stretch(index, low, high))
    refused = index.hidden[stretch].any() or (index.pts[stretch] < 0).any()
    return None if refused else _remuxed(source, index, stretch, sound)


def key_frames(index: VideoIndex, info: VideoInfo) -> list[int]:
    """Return the grid frames that a decoder can begin with, rising: a cut begins there exactly."""
    if index.clock == "counted":
        return []
    grid = Grid(info.start, info.fps, index.time_base)
    shown = index.pts[index.key & ~index.hidden]
    return sorted({grid.earliest(pts) for pts in shown.tolist()})


def _with_context(times: Ticks, low: int, high: int) -> tuple[int, int]:
    """Return the stretch with the frames before and after that a deinterlaced picture is made of too."""
    first = int(np.searchsorted(times, low, "right")) - 1 - CONTEXT
    last = int(np.searchsorted(times, high, "right")) - 1 + CONTEXT
    return int(times[max(0, first)]), max(high, int(times[min(last, len(times) - 1)]))


def _stretch(index: VideoIndex, low: int, high: int) -> tuple[int, int]:
    """Return the positions, in decoding order, of the packets for presentation at low .. high ticks.

    Frames presented after a key frame never need what was decoded before it, even in an open group.
    """
    keys = np.flatnonzero(index.key & (index.pts <= low))
    begin = int(keys[-1]) if len(keys) else 0
    needed = np.flatnonzero(index.pts <= high)
    end = int(needed[-1]) + 1 if len(needed) else 1
    return begin, max(end, begin + 1)


def _remuxed(source: MediaSource, index: VideoIndex, stretch: slice, sound: Sound | None) -> bytes | None:
    expected = index.pts[stretch]
    if index.clock == "joined":  # the file's own timestamps are others, and nothing can be sought by these
        with open_video(source) as (container, stream):
            found = _find(container, stream, index, stretch, seek=False)
            for packet, pts in zip(found, expected.tolist(), strict=False):
                packet.pts = pts
            whole = len(found) == len(expected)
            return _nut(found, stream, _decoding_times(expected), sound) if whole else None
    for seek in (True, False):
        with open_video(source) as (container, stream):
            found = _find(container, stream, index, stretch, seek)
            if [packet.pts for packet in found] == expected.tolist():
                return _nut(found, stream, _decoding_times(expected), sound)
    return None


def _find(
    container: InputContainer, stream: VideoStream, index: VideoIndex, stretch: slice, seek: bool
) -> list[VideoPacket]:
    count = stretch.stop - stretch.start
    if not seek:
        return list(islice(packets(container, stream, []), stretch.start, stretch.stop))
    head = int(index.pts[stretch.start])
    near = packets_covering(container, stream, head) or iter(())
    begun = (packet for packet in near)
    for packet in begun:
        if packet.pts == head:
            return [packet, *islice(begun, count - 1)]
    return []


def _decoding_times(pts: Ticks) -> Ticks:
    """Return increasing decoding timestamps, none after its presentation: some files' own are not.

    NUT does not store them, but the muxer asks for them.
    """
    position = np.arange(len(pts))
    return np.asarray(np.minimum.accumulate((pts - position)[::-1])[::-1] + position)


def _nut(
    found: list[VideoPacket], stream: VideoStream, decoding_times: Ticks, sound: Sound | None
) -> bytes | None:
    file = io.BytesIO()
    try:
        with av.open(file, "w", format="nut", container_options={"avoid_negative_ts": "disabled"}) as output:
            target = output.add_stream_from_template(stream, opaque=True)
            if sound is not None:
                _mux_sound(output, sound)
            for packet, dts in zip(found, decoding_times.tolist(), strict=True):
                packet.dts = dts
                packet.stream = target
                output.mux(packet)
    except (av.FFmpegError, ValueError):
        return None
    return file.getvalue()


def _mux_sound(output: OutputContainer, sound: Sound) -> None:
    """Write sound as PCM of 16 bits; the muxer puts it beside the pictures."""
    stream = output.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
    values = np.rint(np.clip(sound.samples, -1, 1) * 32767).astype("<i2")
    begin = round(sound.begin * SAMPLE_RATE)
    for first in range(0, len(values), SAMPLE_RATE // 10):
        block = values[first : first + SAMPLE_RATE // 10]
        frame = av.AudioFrame.from_ndarray(block[None], "s16", "mono")
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), begin + first
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))
