"""A video that is opened once and read several times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

import av
from av.container import Flags, InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from lipserve.errors import VideoError
from lipserve.files.picture import MediaSource, check_size
from lipserve.files.source import demuxer, describe, open_checked

if TYPE_CHECKING:
    from lipserve.media.demux import VideoPacket
    from lipserve.media.index import VideoIndex

_HEADER_ONLY = {"codec_whitelist": "none", "analyzeduration": "1", "fflags": "+noparse+nofillin"}
_GENERATE_TIMESTAMPS = int(cast(int, Flags.gen_pts.value))
_TIMED = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "nut"}
"""Containers that store the time of every packet. Of others FFmpeg makes up some from what it has read
before, and after a seek these may differ."""
_BEFORE_ALL = -(1 << 40)  # ticks: FFmpeg then goes to the first packet, whatever its time

_Place: TypeAlias = tuple[int | None, ...]


class OpenedVideo:
    """A video that stays open: every function that takes a `VideoSource` begins it anew; see `opened`.

    One reader at a time: where the next one begins, the one before it has ended. All of them share one
    decoder, which has the threads that the first one asked for.

    Attributes:
        source: the file that was opened.
        file: the same, open.
        index: of its packets, from the first `scan` on.
    """

    def __init__(self, source: MediaSource, file: BinaryIO, stack: ExitStack) -> None:
        self.source, self.file = source, file
        self.index: VideoIndex | None = None
        self._stack = stack
        self._reading: tuple[InputContainer, VideoStream] | None = None
        self._head: _Place | None = None

    def begin(self) -> tuple[InputContainer, VideoStream]:
        """Return the container and its main stream, whose first packet comes next; or raise VideoError."""
        if self._reading is None or not self._rewound(*self._reading):
            self._reading = None
            self._stack.close()
            container = self._stack.enter_context(demuxer(self.file, describe(self.source), VideoError))
            self._reading = container, _video_of(container)
        return self._reading

    def remember(self, head: VideoPacket | None) -> None:
        """Learn what the first packet is: only what begins with it again has been rewound."""
        self._head = None if head is None else _place(head)

    def _rewound(self, container: InputContainer, stream: VideoStream) -> bool:
        """Seek the first packet; False where it cannot be told that it comes next."""
        if self._head is None or container.format.name not in _TIMED:
            return False
        try:
            container.seek(_BEFORE_ALL, stream=stream)
            found = next(container.demux(stream), None)
            container.seek(_BEFORE_ALL, stream=stream)
        except av.FFmpegError:
            return False
        return found is not None and _place(found) == self._head


VideoSource: TypeAlias = MediaSource | OpenedVideo
"""A video: its bytes, its path, or one that was opened before."""


@contextmanager
def opened(source: MediaSource, *, declared: bool = True) -> Iterator[OpenedVideo]:
    """Open a video for several readings.

    Args:
        declared: refuse it by what its header alone says, see `check_declared`.

    Raises:
        VideoError: the source is empty, missing, or no video. LimitError: its header declares too much.
    """
    with open_checked(source, VideoError) as file, ExitStack() as stack:
        if declared:
            _check_header(file, describe(source))
        yield OpenedVideo(source, file, stack)


@contextmanager
def open_video(source: VideoSource) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open `source` at the first packet of its main video stream, or raise VideoError."""
    if isinstance(source, OpenedVideo):
        yield source.begin()
    else:
        with opened(source, declared=False) as video:
            yield video.begin()


def check_declared(source: MediaSource) -> None:
    """Refuse a container whose header declares too large a picture, before any decoder sees the file.

    FFmpeg would drop such a size without a word and take the one inside the stream.
    """
    with open_checked(source, VideoError) as file:
        _check_header(file, describe(source))


def _check_header(file: BinaryIO, name: str) -> None:
    with demuxer(file, name, VideoError, _HEADER_ONLY) as container:
        context = _main_stream(container).codec_context
        check_size(context.width, context.height)


def video_streams(container: InputContainer) -> list[VideoStream]:
    """Return the streams of moving pictures: covers, and the tiles of an image, are none."""
    hidden = Disposition.attached_pic | Disposition.dependent
    return [stream for stream in container.streams.video if not stream.disposition & hidden]


def _video_of(container: InputContainer) -> VideoStream:
    stream = _main_stream(container)
    if container.format.name == "avi" and stream.codec_context.has_b_frames:
        # AVI has decoding times alone; what is made up from them is wrong where frames are reordered.
        container.flags &= ~_GENERATE_TIMESTAMPS
    return stream


def _main_stream(container: InputContainer) -> VideoStream:
    streams = video_streams(container)
    if not streams:
        tiles = any(stream.disposition & Disposition.dependent for stream in container.streams.video)
        content = (
            "an image in tiles (HEIC)" if tiles else "sound only" if container.streams.audio else "no video"
        )
        raise VideoError(f"The file holds {content}.", "Send a video, or an image such as JPEG or PNG.")
    best = container.streams.best("video")
    chosen = next(
        (stream for stream in streams if best is not None and stream.index == best.index), streams[0]
    )
    # Without its decoder PyAV gives a stream no context, though the type stubs say otherwise.
    if getattr(chosen, "codec_context", None) is None:
        raise VideoError(
            "This build of FFmpeg does not know the codec of the video.",
            "Convert the video to a common codec, such as H.264 in MP4.",
        )
    return chosen


def _place(packet: VideoPacket) -> _Place:
    return packet.pos, packet.pts, packet.dts, packet.size
