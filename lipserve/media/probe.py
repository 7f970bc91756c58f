"""Properties of a video, found without decoding all of it."""

from __future__ import annotations

import re
from contextlib import suppress
from fractions import Fraction
from itertools import chain, islice
from threading import Lock

import av
from av import VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from lipserve.errors import LimitError, VideoError
from lipserve.files.picture import (
    MAX_PIXELS,
    MAX_SIDE,
    MAX_START,
    MAX_VIDEO_FRAMES,
    Colour,
    MediaSource,
    VideoInfo,
    check_size,
)
from lipserve.files.timeline import Timeline, choose_grid
from lipserve.media.colour import read_tags, wide_transfer
from lipserve.media.demux import decoder, packets
from lipserve.media.index import VideoIndex, scan
from lipserve.media.opening import OpenedVideo, VideoSource, open_video, opened, video_streams
from lipserve.media.orientation import orientation
from lipserve.media.transparency import opacity
from lipserve.text import counted

_PATIENCE = 500  # packets without any picture, after which a video is given up
_LOOKED_AT = 4  # frames, where the container does not say that they are no fields
_IMAGE_CODECS = {"mjpeg", "png", "apng", "webp", "bmp", "tiff", "gif", "jpegxl", "jpeg2000"}
_PROGRESSIVE = 1  # FFmpeg's AVFieldOrder
_logs = Lock()

MAX_UNSHOWN = 64  # frames that are decoded for one that is shown ...
MAX_RATIO = 20  # ... and on the average: 1200 a second


def probe(source: VideoSource) -> VideoInfo:
    """Return the properties of a video: its packets are listed, and one frame is decoded.

    A file that was cut short counts the frames that are there, and `warnings` says so.

    Args:
        source: one that was opened before has been looked at by `check_declared` where it was to be.

    Raises:
        VideoError: the source is empty, missing, no video, not one frame of it can be decoded, or it begins
            later than MAX_START.
        LimitError: a side is above MAX_SIDE, the picture above MAX_PIXELS, the grid above MAX_VIDEO_FRAMES,
            or far more frames must be decoded than are shown.
    """
    if not isinstance(source, OpenedVideo):
        with opened(source) as video:
            return probe(video)
    index = scan(source)
    container, stream = source.begin()
    check_size(stream.codec_context.width, stream.codec_context.height)
    frames = _first_frames(container, stream)
    if not frames:
        raise _undecodable(source.source, stream.codec_context.name)
    check_size(frames[0].width, frames[0].height)
    rate = [stream.average_rate, stream.guessed_rate]
    start, grid = _grid(index, rate)
    if abs(start) >= MAX_START:
        raise VideoError(
            f"The video's timestamps begin at {float(start):.3g} s.",
            "Make them begin at 0: ffmpeg -i INPUT -c copy OUTPUT.mp4 does so.",
        )
    if grid.frames > MAX_VIDEO_FRAMES:
        raise LimitError(
            f"The timestamps of the video span {grid.frames} frames.",
            f"Send at most {MAX_VIDEO_FRAMES}, or repair its timestamps.",
        )
    _check_density(index, grid)
    return _describe(container, stream, frames, index, (start, grid))


def _first_frames(container: InputContainer, stream: VideoStream) -> list[VideoFrame]:
    """Return the first frame, or a few where the container leaves open whether they are fields."""
    context = decoder(stream, threads=1)  # more would only delay the first frame
    found = list[VideoFrame]()
    wanted = 1 if stream.codec_context.field_order == _PROGRESSIVE else _LOOKED_AT
    for count, packet in enumerate(chain(packets(container, stream, []), (None,))):
        with suppress(av.FFmpegError):
            found += islice(context.decode(packet), wanted - len(found))
        if len(found) >= wanted or (count == _PATIENCE and not found):
            break
    return found[:wanted]


def _undecodable(source: MediaSource, codec: str) -> Exception:
    """Return the refusal of a video that gives no picture; FFmpeg's log tells why only while it is on."""
    with _logs, av.logging.Capture() as lines:
        level, skip = av.logging.get_level(), av.logging.get_skip_repeated()
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)
        try:
            with open_video(source) as (container, stream):
                _first_frames(container, stream)
        finally:
            av.logging.set_level(level)
            av.logging.set_skip_repeated(skip)
    messages = "\n".join(text for _, _, text in lines)
    size = re.search(r"[Pp]icture size ([1-9]\d*)x([1-9]\d*)", messages)
    if size:
        return LimitError(
            f"The header states a picture of {size[1]}x{size[2]} pixels.",
            f"Scale it to at most {MAX_SIDE} a side and {MAX_PIXELS / 1e6:.0f} million in all.",
        )
    return VideoError(
        f"No frame of the video can be decoded ({codec}).",
        "Send the whole file, or convert it to H.264 in MP4.",
    )


def _grid(index: VideoIndex, declared: list[Fraction | None]) -> tuple[Fraction, Timeline]:
    times = index.times
    return int(times[0]) * index.time_base, choose_grid(times, index.time_base, index.last_duration, declared)


def _check_density(index: VideoIndex, grid: Timeline) -> None:
    """Raise LimitError where many more frames must be decoded than are shown."""
    times = index.times
    within = times[MAX_UNSHOWN:] - times[:-MAX_UNSHOWN]
    crowded = (within < 1 / (grid.fps * index.time_base)).any()
    if crowded or len(times) > MAX_RATIO * grid.frames + MAX_UNSHOWN:
        raise LimitError(
            f"The video has {len(times)} frames for {counted(grid.frames, 'shown frame')}, or too many "
            "within a short time.",
            "Convert it to at most 60 frames a second: ffmpeg -i INPUT -r 60 OUTPUT.mp4.",
        )


def _describe(
    container: InputContainer,
    stream: VideoStream,
    frames: list[VideoFrame],
    index: VideoIndex,
    timing: tuple[Fraction, Timeline],
) -> VideoInfo:
    start, grid = timing
    frame = frames[0]
    upright = orientation(frame)
    aspect = _pixel_aspect(stream)
    wide = wide_transfer(frame.color_trc, frame.color_primaries, frame.colorspace)
    turned = upright.rotation in (90, 270)
    interlaced = any(frame.interlaced_frame for frame in frames)
    return VideoInfo(
        width=frame.height if turned else frame.width,
        height=frame.width if turned else frame.height,
        pixel_aspect=1 / aspect if turned else aspect,
        fps=grid.fps,
        start=start,
        frames=grid.frames,
        variable=grid.variable,
        still=grid.frames == 1,
        rotation=upright.rotation,
        mirrored=upright.mirrored,
        interlaced=interlaced,
        clock=index.clock,
        hdr=wide,
        colour=Colour() if wide else read_tags(frame, stream.codec_context.name in _IMAGE_CODECS),
        codec=stream.codec_context.name,
        pixel_format=frame.format.name,
        has_audio=bool(container.streams.audio),
        warnings=_warnings(index, frame, interlaced, len(video_streams(container))),
    )


def _warnings(index: VideoIndex, frame: VideoFrame, interlaced: bool, streams: int) -> tuple[str, ...]:
    found = [
        f"The video is cut short or damaged ({fault}): its {_frames(index.packets)} used."
        for fault in index.faults[:1]
    ]
    if index.restarts:
        times = counted(index.restarts, "time")
        found.append(f"The video's clock restarts or jumps ({times}): its parts are joined.")
    if streams > 1:
        found.append(f"The video has {streams} streams of pictures: one is used.")
    if interlaced:
        found.append("The video is interlaced: its fields are made into whole pictures.")
    if opacity(frame, frame.width, frame.height) is not None:
        found.append("The video is transparent in places: the colour of `matte` shows there.")
    return tuple(found)


def _pixel_aspect(stream: VideoStream) -> Fraction:
    aspect = stream.sample_aspect_ratio
    return aspect if aspect is not None and Fraction(1, 16) < aspect < 16 else Fraction(1)


def _frames(count: int) -> str:
    return f"{counted(count, 'frame')} {'is' if count == 1 else 'are'}"
