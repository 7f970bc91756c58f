"""Index of all packets of a video, read without decoding."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, chain, islice
from typing import NamedTuple, cast

import av
import numpy as np
from av.container import InputContainer
from av.format import Flags
from av.packet import PktSideDataT
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lipserve.errors import LimitError
from lipserve.files.clock import Clock, counted, joined
from lipserve.files.damage import TOLERANCE, declared_seconds, missing_tail
from lipserve.files.picture import MediaSource
from lipserve.files.timeline import STILL_RATE, Ticks
from lipserve.media import webp
from lipserve.media.demux import VideoPacket, has_alpha_beside, packets, time_base
from lipserve.media.opening import OpenedVideo, VideoSource, open_video, opened

MAX_PACKETS = 1_000_000  # 4.6 hours at 60 frames a second

_CARRIED: tuple[PktSideDataT, ...] = ("palette", "new_extradata", "param_change")
_RESTARTS = int(cast(int, Flags.ts_discont.value))  # containers whose clocks may restart, by FFmpeg's word
_JUMP, _HOLD = 10, 3600  # seconds: no frame is held longer where clocks may restart; and elsewhere
_MILLISECOND = Fraction(1, 1000)
_TRIED = 300  # packets that are decoded to learn whether those without a timestamp are frames


@dataclass(frozen=True)
class VideoIndex:
    """Every packet of a video stream, in decoding order.

    Attributes:
        time_base: seconds of one tick.
        pts: int64 [N], presentation timestamps in ticks, on one clock; where `clock` is `counted` those of
            the first, second .. frame that is shown, rising.
        key: bool [N], a decoder can begin here. hidden: bool [N], decoded but never shown (edit lists).
        clock: where `pts` come from.
        restarts: how often the file's own clock restarted or jumped.
        cuttable: every packet is stamped, and none carries what only a decoder that began earlier knows.
        last_duration: of the packet presented last, ticks; 0 where it is unknown.
        packets: how many there are; `pts` may leave out some that are no frames of their own.
        faults: in which ways the file is not whole.
    """

    time_base: Fraction
    pts: Ticks
    key: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    clock: Clock
    restarts: int
    cuttable: bool
    last_duration: int
    packets: int
    faults: tuple[str, ...] = ()

    @property
    def times(self) -> Ticks:
        """The timestamps of the frames that are shown, in order."""
        return np.sort(self.pts if self.hidden.all() else self.pts[~self.hidden])


class _Row(NamedTuple):
    pts: int | None
    dts: int | None
    duration: int
    key: bool
    hidden: bool
    carries: bool
    damaged: bool


def scan(source: VideoSource) -> VideoIndex:
    """Return the index of a video's packets; VideoError where it is none, LimitError above MAX_PACKETS."""
    if not isinstance(source, OpenedVideo):
        with opened(source, declared=False) as video:
            return scan(video)
    if source.index is None:
        source.index = _scanned(source)
    return source.index


def _scanned(video: OpenedVideo) -> VideoIndex:
    container, stream = video.begin()
    faults: list[str] = []
    found = islice(packets(container, stream, faults), MAX_PACKETS + 1)
    head = next(found, None)
    video.remember(head)
    image = stream.codec_context.name == "webp"
    every = chain([] if head is None else [head], found)
    rows = [row for packet in every for row in (_images(packet) if image else [_row(packet)])]
    if len(rows) > MAX_PACKETS:
        raise LimitError(f"The video has more than {MAX_PACKETS:,} frames.", "Send the video in parts.")
    stamped = [row for row in rows if row.pts is not None]
    whole, beside = len(stamped) == len(rows), has_alpha_beside(stream)
    if whole or (stamped and not _frames_unstamped(video.source)):
        tick, clock, used = time_base(stream), "file", stamped
        pts, restarts = _on_one_clock(container, stream, stamped)
    else:
        clock, used = "counted", rows
        tick, pts, restarts = _by_count(container, stream, rows)
        tick = _MILLISECOND if image else tick
    if restarts and clock == "file":
        clock = "joined"
    if rows and not faults:
        faults += _shortcomings(container, stream, rows, restarts)
    if rows and not faults:
        faults += missing_tail(video.file)
    return VideoIndex(
        time_base=tick,
        pts=pts,
        key=np.array([row.key for row in used], np.bool_),
        hidden=np.array([row.hidden for row in used], np.bool_),
        clock=cast(Clock, clock),
        restarts=restarts,
        cuttable=whole and not beside and not any(row.carries for row in rows),
        last_duration=_last_duration(stamped) if clock == "file" else 0,
        packets=len(rows),
        faults=tuple(faults),
    )


def _images(packet: VideoPacket) -> list[_Row]:
    """Return a row for every image of a WebP, the time of each in milliseconds."""
    lengths = webp.durations(bytes(packet))
    begins = accumulate(lengths[:-1], initial=0)
    rows = [_Row(None, at, 0, key=True, hidden=False, carries=False, damaged=False) for at in begins]
    return rows if lengths else [_row(packet)]


def _row(packet: VideoPacket) -> _Row:
    carries = any(packet.has_sidedata(kind) for kind in _CARRIED)
    return _Row(
        packet.pts,
        packet.dts,
        packet.duration or 0,
        packet.is_keyframe,
        packet.is_discard,
        carries,
        packet.is_corrupt,
    )


def _last_duration(rows: list[_Row]) -> int:
    return max(rows, key=lambda row: row.pts or 0).duration if rows else 0


def _on_one_clock(container: InputContainer, stream: VideoStream, rows: list[_Row]) -> tuple[Ticks, int]:
    pts = np.array([row.pts for row in rows], np.int64)
    if not rows or container.format.name.startswith("mov"):  # a table of samples has one clock
        return pts, 0
    key = np.array([row.key for row in rows], np.bool_)
    return joined(pts, key, _step(stream), _jump(container, stream))


def _by_count(
    container: InputContainer, stream: VideoStream, rows: list[_Row]
) -> tuple[Fraction, Ticks, int]:
    pts, dts = [row.pts for row in rows], [row.dts for row in rows]
    if all(at is None for at in chain(pts, dts)):
        return 1 / (stream.guessed_rate or STILL_RATE), np.arange(len(rows)), 0
    times, restarts = counted(pts, dts, _step(stream), _jump(container, stream))
    return time_base(stream), times, restarts


def _step(stream: VideoStream) -> int:
    """Return the ticks from one frame to the next, as the container tells."""
    return max(1, round(1 / ((stream.guessed_rate or STILL_RATE) * time_base(stream))))


def _jump(container: InputContainer, stream: VideoStream) -> float:
    """Return by how many ticks a clock that goes on can run ahead from one frame to the next."""
    restarts = container.format.name == "flv" or container.format.flags & _RESTARTS
    return float((_JUMP if restarts else _HOLD) / time_base(stream))


def _frames_unstamped(source: MediaSource) -> bool:
    """Tell whether packets without a timestamp begin frames, or are second fields of the frame before.

    Decoders give a frame the timestamp of the packet that it begins with.
    """
    with open_video(source) as (container, stream):
        unstamped, context = set(), stream.codec_context
        context.thread_count = 1
        for place, packet in enumerate(chain(islice(packets(container, stream, []), _TRIED), (None,))):
            if packet is not None:
                if packet.pts is None:
                    unstamped.add(place)
                packet.pts = packet.dts = place
            try:
                frames = context.decode(packet)
            except av.FFmpegError:
                continue
            if any(frame.pts in unstamped for frame in frames):
                return True
    return False


def _shortcomings(
    container: InputContainer, stream: VideoStream, rows: list[_Row], restarts: int
) -> list[str]:
    """Return in which ways the packets are not those that the header promises."""
    if container.format.name.startswith("mov") and len(rows) < len(stream.index_entries):
        return ["it ends before its index says"]  # of the index after edit lists; `frames` is before them
    promised = declared_seconds(container, stream)
    stamps = ((row.dts if row.pts is None else row.pts, row.duration) for row in rows)
    ends = [at + duration for at, duration in stamps if at is not None]
    if promised is not None and ends and max(ends) * time_base(stream) < promised - TOLERANCE:
        return ["it ends before its header says"]
    # Where two files meet, the counters of a transport stream jump, though nothing is missing.
    damaged = any(row.damaged for row in rows) and not restarts
    return ["parts of it are missing"] if damaged else []
