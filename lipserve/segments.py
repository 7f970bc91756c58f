"""Plan the segments of a clip: which output frames, which source frames, which stretch of speech.

Output frames are counted from the clip's first; they show source frames in the order that
`on_length_mismatch` asks for. A segment is a whole number of windows (the quality tier's UNet sees 16
frames at once), save for a clip's last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import SAMPLE_RATE
from lipserve.contracts.latentsync import WINDOW
from lipserve.files.picture import VideoInfo

LEAD = 8  # source frames after a segment that its last crops depend on (smoothing, fading, bridged gaps)
WARM_UP = 32  # source frames before a segment: the tracker forgets within them how it found the face
SEGMENT_PIXELS = 600_000_000  # a segment's frames together: bounds memory and the time of one request

Mismatch = Literal["loop", "repeat", "freeze", "remap", "cut", "silence", "keep"]


@dataclass(frozen=True)
class Span:
    """A stretch of frames, or of samples: `first .. stop - 1`, so many of them."""

    first: int
    count: int

    @property
    def stop(self) -> int:
        return self.first + self.count


@dataclass(frozen=True)
class SegmentLength:
    """Approximate length of a tier's segments: `seconds` or `frames`, whichever is less.

    Attributes:
        full_window: whether a clip's last segment holds a whole window too, so that its last window looks
            back at no frame of another segment.
    """

    seconds: float = math.inf
    frames: float = math.inf
    full_window: bool = False


def frame_count(seconds: float, fps: Fraction) -> int:
    """Return the number of frames in `seconds`: rounded, at least one."""
    return max(1, round(seconds * float(fps)))


def reference_frame_count(seconds: float, fps: Fraction) -> int:
    """Return how many frames upstream makes of `seconds`: at 25 fps one or two more than the speech lasts.

    LatentSync, whisper/audio2feature.py: frame i hears row int(50 i / fps) of the encoder's, and the first
    frame whose row lies beyond the last, floor(mel columns / 2), is still made.
    """
    rows = round(seconds * SAMPLE_RATE) // 320
    first_beyond = math.ceil((rows + 1) * fps / 50)
    return first_beyond + 1


def spoken_frames(info: VideoInfo, audio_seconds: float, reference: bool = False) -> int:
    """Return the number of frames that the speech lasts.

    Args:
        reference: count as upstream does, `reference_frame_count`.
    """
    return (reference_frame_count if reference else frame_count)(audio_seconds, info.fps)


def output_frames(info: VideoInfo, audio_seconds: float, mode: Mismatch, reference: bool = False) -> int:
    """Return the number of frames of the result.

    It is as long as the speech; with `cut` no longer than the video, with `silence` no shorter, with `keep`
    as long as the video. A still has no length of its own, so its result is as long as the speech.

    Args:
        reference: as for `spoken_frames`.
    """
    spoken = spoken_frames(info, audio_seconds, reference)
    if info.still:
        return spoken
    lengths = {"cut": min(spoken, info.frames), "silence": max(spoken, info.frames), "keep": info.frames}
    return lengths.get(mode, spoken)


def source_frames(span: Span, available: int, mode: Mismatch, total: int) -> NDArray[np.int64]:
    """Return the source frame [F] that each output frame of `span` shows.

    Args:
        available: source frames. total: output frames of the whole clip, which `remap` spreads them over.
    """
    index = np.arange(span.first, span.stop, dtype=np.int64)
    if mode == "repeat":
        return index % available
    if mode == "remap":  # the middle of an output frame's share of the clip
        return (2 * index + 1) * available // (2 * total)
    if available == 1 or mode not in ("loop", "silence"):
        return np.minimum(index, available - 1)
    position = index % (2 * (available - 1))  # 0 .. n-1 .. 1, and again: no frame is held at the turns
    return np.minimum(position, 2 * (available - 1) - position)


def source_span(span: Span, available: int, mode: Mismatch, total: int) -> Span:
    """Return the source frames that `span` needs, with those before and after that its crops depend on."""
    shown = source_frames(span, available, mode, total)
    first = max(0, int(shown.min()) - WARM_UP)
    return Span(first, min(available, int(shown.max()) + 1 + LEAD) - first)


def hastened(spans: list[Span]) -> list[Span]:
    """Return the segments, the first one divided: a window, then twice as much each, to have it soon."""
    first, count, at = [], WINDOW, spans[0].first
    while spans[0].stop - at > 2 * count:
        first.append(Span(at, count))
        at, count = at + count, 2 * count
    return [*first, Span(at, spans[0].stop - at), *spans[1:]]


def plan(
    frames: int, fps: Fraction, width: int, height: int, length: SegmentLength, first: int = 0
) -> list[Span]:
    """Return the segments of a stretch of frames, in order: of about that length, less for large pictures.

    All but the last are equal and whole windows.

    Args:
        first: where the stretch begins.
    """
    longest = min(length.seconds * float(fps), length.frames)
    target = min(longest, SEGMENT_PIXELS / (width * height))
    count = max(1, round(frames / max(target, WINDOW)))
    size = WINDOW * math.ceil(frames / count / WINDOW)
    firsts = list(range(0, frames, size))
    if length.full_window and len(firsts) > 1 and frames - firsts[-1] < WINDOW:
        del firsts[-1]
    return [Span(first + begin, stop - begin) for begin, stop in pairwise([*firsts, frames])]
