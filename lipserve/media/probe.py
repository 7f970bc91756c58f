"""What a video is, told without decoding it whole."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from threading import Lock

import av
import numpy as np
from av import VideoFrame
from av.container import InputContainer
from av.packet import PktSideDataT
from av.sidedata.sidedata import SideData
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lipserve.errors import LimitError, VideoError
from lipserve.media.colour import read_tags, wide_transfer
from lipserve.media.demux import open_video, packets, time_base
from lipserve.media.picture import (
    MAX_PIXELS,
    MAX_SIDE,
    MAX_START,
    MAX_VIDEO_FRAMES,
    Colour,
    MediaSource,
    VideoInfo,
)
from lipserve.media.timeline import STILL_RATE, Ticks, Timeline, choose_grid

_PATIENCE = 500  # packets without any picture, after which a video is given up
_CARRIED: tuple[PktSideDataT, ...] = ("palette", "new_extradata", "param_change")
_IMAGE_CODECS = {"mjpeg", "png", "apng", "webp", "bmp", "tiff", "gif", "jpegxl", "jpeg2000"}
_HEADER_ONLY = {"codec_whitelist": "none", "analyzeduration": "1", "fflags": "+noparse+nofillin"}
_STORED_LENGTH = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_logs = Lock()

MAX_PACKETS = 1_000_000  # 4.6 hours at 60 frames a second


@dataclass(frozen=True)
class VideoIndex:
    """Every packet of a video stream, in decoding order.

    Attributes:
        time_base: seconds of one tick.
        pts: int64 [N], presentation timestamps in ticks; empty where the container stamps no packet.
        key: bool [N], a decoder can begin here. hidden: bool [N], decoded but never shown (edit lists).
        cuttable: every packet is stamped, and none carries what only a decoder that began earlier knows.
        last_duration: of the packet presented last, ticks; 0 where it is unknown.
        packets: how many there are.
        faults: why the file ended early, where it did.
    """

    time_base: Fraction
    pts: Ticks
    key: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    cuttable: bool
    last_duration: int
    packets: int
    faults: tuple[str, ...] = field(default=())

    @property
    def times(self) -> Ticks:
        """The timestamps of the frames that are shown, in order."""
        return np.sort(self.pts[~self.hidden] if self.cuttable else self.pts)


def scan(source: MediaSource) -> VideoIndex:
    """Return the index of a video's packets, read without decoding any; VideoError where it is none."""
    with open_video(source) as (container, stream):
        faults: list[str] = []
        rows = [
            (packet.pts, packet.duration or 0, packet.is_keyframe, packet.is_discard, _carries(packet))
            for packet in islice(packets(container, stream, faults), MAX_PACKETS + 1)
        ]
        if len(rows) > MAX_PACKETS:
            raise LimitError(
                f"The video has more than {MAX_PACKETS:,} frames.", "Send it in parts: that is hours."
            )
        stamped = [row for row in rows if row[0] is not None]
        if rows and not faults and _is_short(container, stream, len(rows), stamped):
            faults.append("it ends before its header says")
        return VideoIndex(
            time_base=time_base(stream),
            pts=np.array([row[0] for row in stamped], np.int64),
            key=np.array([row[2] for row in stamped], np.bool_),
            hidden=np.array([row[3] for row in stamped], np.bool_),
            cuttable=len(stamped) == len(rows) and not any(row[4] for row in rows),
            last_duration=max(stamped, default=(0, 0), key=lambda row: row[0] or 0)[1],
            packets=len(rows),
            faults=tuple(faults),
        )


_Row = tuple[int | None, int, bool, bool, bool]


def _carries(packet: av.Packet[VideoStream]) -> bool:
    return any(packet.has_sidedata(kind) for kind in _CARRIED)


def _is_short(container: InputContainer, stream: VideoStream, count: int, stamped: list[_Row]) -> bool:
    """Tell whether the header promises more than the packets that were found."""
    if container.format.name.startswith("mov"):
        return count < len(stream.index_entries)  # the index after edit lists; `frames` is before them
    if stream.frames:
        return count < stream.frames
    stored = _STORED_LENGTH.match(stream.metadata.get("DURATION", ""))
    if stored is None or not stamped:
        return False
    promised = int(stored[1]) * 3600 + int(stored[2]) * 60 + float(stored[3])
    found = max((row[0] or 0) + row[1] for row in stamped) * float(time_base(stream))
    return found < promised - 0.5


def probe(source: MediaSource, index: VideoIndex | None = None) -> VideoInfo:
    """Return what is known of a video: its packets are listed, and one frame is decoded.

    A file that was cut short counts the frames that are there, and `warnings` says so.

    Args:
        index: of the same source, where the caller has it already.

    Raises:
        VideoError: the source is empty, missing, no video, not one frame of it can be decoded, or it begins
            later than MAX_START.
        LimitError: a side is above MAX_SIDE, the picture above MAX_PIXELS, the grid above MAX_VIDEO_FRAMES.
    """
    _check_declared(source)
    index = index or scan(source)
    with open_video(source) as (container, stream):
        check_size(stream.codec_context.width, stream.codec_context.height)
        frame = _first_frame(container, stream)
        if frame is None:
            raise _undecodable(source, stream.codec_context.name)
        check_size(frame.width, frame.height)
        rate = [stream.average_rate, stream.guessed_rate]
        start, grid = _grid(index, rate)
        if abs(start) >= MAX_START:
            raise VideoError(
                f"The video's timestamps begin at {float(start):.3g} s.",
                "Let them begin at 0: ffmpeg -i INPUT -c copy OUTPUT.mp4 does.",
            )
        if grid.frames > MAX_VIDEO_FRAMES:
            raise LimitError(
                f"The video spans {grid.frames} frames.",
                f"Send at most {MAX_VIDEO_FRAMES}, or repair its timestamps.",
            )
        return _describe(container, stream, frame, index, (start, grid))


def check_size(width: int, height: int) -> None:
    """Raise LimitError where a picture is above what the service accepts. Zero is: not known yet."""
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise LimitError(
            f"The picture is {width}x{height} pixels.",
            f"Scale it to at most {MAX_SIDE} a side and {MAX_PIXELS / 1e6:.0f} million in all.",
        )


def _check_declared(source: MediaSource) -> None:
    """Refuse a container whose header declares too large a picture, before any decoder sees the file.

    FFmpeg would drop such a size without a word and take the one inside the stream.
    """
    with open_video(source, _HEADER_ONLY) as (_, stream):
        check_size(stream.codec_context.width, stream.codec_context.height)


def _first_frame(container: InputContainer, stream: VideoStream) -> VideoFrame | None:
    context = stream.codec_context
    context.options = {"max_pixels": str(MAX_PIXELS)}
    context.thread_count = 1  # more threads would only delay the first frame
    for count, packet in enumerate(packets(container, stream, [])):
        try:
            frames = context.decode(packet)
        except av.FFmpegError:
            frames = []
        if frames or count == _PATIENCE:
            return frames[0] if frames else None
    try:
        return next(iter(context.decode(None)), None)
    except av.FFmpegError:
        return None


def _undecodable(source: MediaSource, codec: str) -> Exception:
    """Return the refusal of a video that gives no picture; FFmpeg's log tells why only while it is on."""
    with _logs, av.logging.Capture() as lines:
        level, skip = av.logging.get_level(), av.logging.get_skip_repeated()
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)
        try:
            with open_video(source) as (container, stream):
                _first_frame(container, stream)
        finally:
            av.logging.set_level(level)
            av.logging.set_skip_repeated(skip)
    for _, _, text in lines:
        size = re.search(r"[Pp]icture size (\d+)x(\d+)", text)
        if size:
            return LimitError(
                f"The picture is declared as {size[1]}x{size[2]} pixels.",
                f"Scale it to at most {MAX_SIDE} a side and {MAX_PIXELS / 1e6:.0f} million in all.",
            )
    return VideoError(
        f"Not one frame of the video can be decoded ({codec}).",
        "Send the whole file, or convert it to H.264 in MP4.",
    )


def _grid(index: VideoIndex, declared: list[Fraction | None]) -> tuple[Fraction, Timeline]:
    times = index.times
    if len(times) == 0:
        # A raw stream, or AVI with B-frames: frame n of the declared rate is shown at n / rate.
        tick = 1 / (declared[1] or STILL_RATE)
        return Fraction(0), choose_grid(np.arange(max(1, index.packets)), tick, 1, declared[1:])
    grid = choose_grid(times, index.time_base, index.last_duration, declared)
    return int(times[0]) * index.time_base, grid


def _describe(
    container: InputContainer,
    stream: VideoStream,
    frame: VideoFrame,
    index: VideoIndex,
    timing: tuple[Fraction, Timeline],
) -> VideoInfo:
    start, grid = timing
    rotation = round(-frame.rotation / 90) % 4 * 90  # PyAV's degrees are counter-clockwise
    aspect = _pixel_aspect(stream)
    wide = wide_transfer(frame.color_trc, frame.color_primaries, frame.colorspace)
    turned = rotation in (90, 270)
    return VideoInfo(
        width=frame.height if turned else frame.width,
        height=frame.width if turned else frame.height,
        pixel_aspect=1 / aspect if turned else aspect,
        fps=grid.fps,
        start=start,
        frames=grid.frames,
        variable=grid.variable,
        still=grid.frames == 1,
        rotation=rotation,
        hdr=wide,
        colour=Colour() if wide else read_tags(frame, stream.codec_context.name in _IMAGE_CODECS),
        codec=stream.codec_context.name,
        pixel_format=frame.format.name,
        has_audio=bool(container.streams.audio),
        warnings=_warnings(index, frame),
    )


def _warnings(index: VideoIndex, frame: VideoFrame) -> tuple[str, ...]:
    found = []
    if index.faults:
        found.append(
            f"The video is cut short or damaged ({index.faults[0]}): its {index.packets} frames are used."
        )
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if isinstance(matrix, SideData):
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
        if a * d - b * c < 0:
            found.append("The video asks to be mirrored, which is not done.")
    return tuple(found)


def _pixel_aspect(stream: VideoStream) -> Fraction:
    aspect = stream.sample_aspect_ratio
    return aspect if aspect is not None and Fraction(1, 16) < aspect < 16 else Fraction(1)
