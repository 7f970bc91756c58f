"""Two videos as one: next to each other, frame by frame, each with its name in its corner."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from lipserve.errors import InputError
from lipserve.files.picture import MediaSource, Picture, Plane, VideoInfo
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve.media.output import Target
from lipserve.text import counted

_INK, _PAPER, _NO_CHROMA = 235, 24, 128  # samples
_FONT, _MARGIN = cv2.FONT_HERSHEY_SIMPLEX, 6  # pixels around a name
_TEXT = 1 / 30  # of the picture's height, a capital letter
_SMALLEST = 9  # pixels


def write(
    output: Target,
    left: MediaSource,
    right: MediaSource,
    names: tuple[str, str],
    audio: MediaSource | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write both videos next to each other as an MP4, and return its number of frames.

    Samples pass from decoder to encoder as they are, save for those under the names.

    Args:
        output: a path, or an empty file open for writing, reading and seeking.
        left, right: videos of one height, even widths, and equal rate, length and colour, as two results of
            one source are; neither of them an image.
        names: burnt into the upper left corner of each half; characters beyond ASCII are shown as `?`.
        audio: the sound; None: a silent film.
        on_progress: called with frames done and frames in all.

    Raises:
        InputError: the videos do not match. VideoError, AudioError: a file cannot be read.
        StorageError: the disk is full.
    """
    infos = probe.probe(left), probe.probe(right)
    _check(*infos)
    frames, width = infos[0].frames, infos[0].width + infos[1].width
    labels = [_label(name, info) for name, info in zip(names, infos, strict=True)]
    writer = VideoWriter(
        output,
        width,
        infos[0].height,
        infos[0].fps,
        infos[0].colour,
        infos[0].pixel_aspect,
        audio=audio,
    )
    with writer:
        pairs = zip(decode.read(left, infos[0]), decode.read(right, infos[1]), strict=True)
        for done, pair in enumerate(pairs, 1):
            writer.write(_joined(*pair, labels))
            if on_progress is not None:
                on_progress(done, frames)
    return frames


def _check(left: VideoInfo, right: VideoInfo) -> None:
    def shape(info: VideoInfo) -> tuple[object, ...]:
        return info.height, info.frames, info.fps, info.pixel_aspect, info.colour

    if shape(left) != shape(right) or left.width % 2 or right.width % 2:
        raise InputError(
            f"Videos of {_describe(left)} and {_describe(right)} cannot be shown side by side.",
            "Give two results of the same video and the same speech.",
        )


def _describe(info: VideoInfo) -> str:
    return f"{counted(info.frames, 'frame')} of {info.width}x{info.height} at {float(info.fps):g} fps"


def _joined(left: Picture, right: Picture, labels: list[Plane]) -> Picture:
    y, u, v = (
        np.concatenate(planes, 1) for planes in ((left.y, right.y), (left.u, right.u), (left.v, right.v))
    )
    for label, x in zip(labels, (0, left.y.shape[1]), strict=True):
        rows, columns = label.shape
        y[:rows, x : x + columns] = label
        for chroma in (u, v):
            chroma[: rows // 2, x // 2 : (x + columns) // 2] = _NO_CHROMA
    return Picture(y, u, v, left.colour)


def _label(name: str, info: VideoInfo) -> Plane:
    """Return the luma uint8 [h, w] of a name on its dark ground: even sides, no larger than the picture."""
    text = name.encode("ascii", "replace").decode()
    letters = max(_SMALLEST, info.height * _TEXT)
    scale = cv2.getFontScaleFromHeight(_FONT, round(letters))
    (width, height), below = cv2.getTextSize(text, _FONT, scale, 1)
    scale *= min(1.0, (info.width - 2 * _MARGIN) / max(width, 1))  # a long name is written smaller
    (width, height), below = cv2.getTextSize(text, _FONT, scale, 1)
    rows, columns = height + below + 2 * _MARGIN, width + 2 * _MARGIN
    label = np.full((rows + rows % 2, columns + columns % 2), _PAPER, np.uint8)
    cv2.putText(label, text, (_MARGIN, _MARGIN + height), _FONT, scale, (_INK,), 1, cv2.LINE_AA)
    return label[: info.height - info.height % 2, : info.width]
