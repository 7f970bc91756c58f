"""The decoded frames of a video, each with the grid frame that may show it first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from itertools import chain

import av
from av import VideoFrame
from av.video.stream import VideoStream

from lipserve.files.picture import VideoInfo
from lipserve.files.timeline import STILL_RATE, Grid
from lipserve.media.deinterlace import CONTEXT, deinterlaced
from lipserve.media.demux import VideoPacket, decoder, packets, packets_covering, time_base
from lipserve.media.index import VideoIndex, scan
from lipserve.media.opening import VideoSource, open_video

_LOST = 3  # packets in a row that give no picture: one alone may be a field, or a picture that is never shown
_NO_PICTURE = 32  # bytes, of a packet that may say: as before

Timed = tuple[int, VideoFrame]


def decoded(
    source: VideoSource, info: VideoInfo, first: int, threads: int, faults: list[str]
) -> Generator[Timed, None, None]:
    """Yield frames in order of presentation, from at or before the one that grid frame `first` shows.

    Args:
        threads: of the decoder; 0: as many as there are cores.
        faults: takes, in words, that pictures from `first` on could not be decoded.
    """
    if info.interlaced:
        return deinterlaced(_timed(source, info, max(0, first - 2 * CONTEXT), threads, faults))
    return _timed(source, info, first, threads, faults)


def _timed(
    source: VideoSource, info: VideoInfo, first: int, threads: int, faults: list[str]
) -> Generator[Timed, None, None]:
    index = None if info.clock == "file" else scan(source)
    if index is not None and index.clock != "file":  # else it is a `cut`, which is on `info`'s clock
        yield from _mended(source, info, index, threads, Watch(first, faults))
        return
    for seek in (True, False):
        with open_video(source) as (container, stream):
            grid = Grid(info.start, info.fps, time_base(stream))
            entry = (
                packets_covering(container, stream, grid.latest(first))
                if seek
                else packets(container, stream, [])
            )
            if entry is not None:
                yield from _stamped(stream, entry, info, grid, threads, Watch(first, faults))
                return


def _mended(
    source: VideoSource, info: VideoInfo, index: VideoIndex, threads: int, watch: Watch
) -> Iterator[Timed]:
    """Yield the frames of a file whose timestamps are not its frames', from its beginning."""
    with open_video(source) as (container, stream):
        grid = Grid(info.start, info.fps, index.time_base)
        entry = packets(container, stream, [])
        if index.clock == "joined":
            yield from _stamped(stream, _restamped(entry, index), info, grid, threads, watch)
        else:
            yield from _counted(stream, entry, index, grid, threads, watch)


def _restamped(entry: Iterator[VideoPacket], index: VideoIndex) -> Iterator[VideoPacket]:
    times = iter(index.pts.tolist())
    for packet in entry:
        if packet.pts is not None:
            packet.pts = next(times, None)
        yield packet


def _stamped(
    stream: VideoStream,
    entry: Iterator[VideoPacket],
    info: VideoInfo,
    grid: Grid,
    threads: int,
    watch: Watch,
) -> Iterator[Timed]:
    # A packet without a timestamp among others: its frame follows at the declared rate.
    step = 1 / ((stream.guessed_rate or STILL_RATE) * time_base(stream))
    pts: int | Fraction = info.start / time_base(stream) - step
    for frame in _frames(stream, threads, watch.packets(entry, grid), watch.failed):
        pts = pts + step if frame.pts is None else frame.pts
        shown = grid.earliest(pts)
        watch.frame(frame, pts, shown)
        yield shown, frame


def _counted(
    stream: VideoStream,
    entry: Iterator[VideoPacket],
    index: VideoIndex,
    grid: Grid,
    threads: int,
    watch: Watch,
) -> Iterator[Timed]:
    """Yield frames at the times of the index, by their order.

    Each packet carries its number as its decoding time. A frame comes out with that of the packet after which
    it came out, so that a packet that gives none leaves a gap, and what follows stays in its place.
    """
    times = index.pts.tolist()
    rank, delay = -1, None
    for frame in _frames(stream, threads, _numbered(entry), watch.failed):
        if frame.dts is not None and delay is None:
            delay = frame.dts
        rank += 1
        if frame.dts is not None and delay is not None:
            rank = max(rank, frame.dts - delay)
        at = times[min(rank, len(times) - 1)]
        shown = grid.earliest(at)
        watch.frame(frame, at, shown)
        yield shown, frame


def _numbered(entry: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
    for number, packet in enumerate(entry):
        packet.pts, packet.dts = None, number
        yield packet


def _frames(
    stream: VideoStream, threads: int, entry: Iterator[VideoPacket], failed: Callable[[], None]
) -> Iterator[VideoFrame]:
    context = decoder(stream, threads)
    for packet in chain(entry, (None,)):
        try:
            frames = context.decode(packet)
        except av.FFmpegError:
            failed()
            continue
        yield from frames


class Watch:
    """Notices pictures that could not be decoded, from grid frame `first` on.

    Those before it may lack, where a decoder began at a key frame, what they are made of: that is no damage.
    """

    def __init__(self, first: int, faults: list[str]) -> None:
        self._first = first
        self._faults = faults
        self._sent: list[int] = []  # timestamps of packets that a picture is to come of, a heap
        self._begun = False
        self._counts = first <= 0  # the packet that was sent last

    def packets(self, entry: Iterator[VideoPacket], grid: Grid) -> Iterator[VideoPacket]:
        """Yield what is sent to the decoder."""
        for packet in entry:
            if packet.pts is not None:
                self._counts = grid.earliest(packet.pts) >= self._first
                if packet.size > _NO_PICTURE and not packet.is_discard:
                    heapq.heappush(self._sent, packet.pts)
            yield packet

    def failed(self) -> None:
        """The decoder refused a packet."""
        if self._counts:
            self._tell()

    def frame(self, frame: VideoFrame, pts: int | Fraction, shown: int) -> None:
        """A picture came out, which is presented at `pts`."""
        lost = 0
        while self._sent and self._sent[0] <= pts:
            lost += heapq.heappop(self._sent) != pts
        if shown >= self._first and (frame.is_corrupt or (self._begun and lost >= _LOST)):
            self._tell()
        self._begun = True

    def _tell(self) -> None:
        text = "some of its pictures cannot be decoded"
        if text not in self._faults:
            self._faults.append(text)
