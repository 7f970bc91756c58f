"""Measurement of one piece of a video: every face, frame by frame, and what the speech asks of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lipserve import faces
from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE
from lipserve.crops import Cropper, Strip
from lipserve.files.picture import Picture, VideoInfo
from lipserve.invisible_mark.read import levels
from lipserve.leaves import Leaves
from lipserve.lipwarp import speech
from lipserve.quality import agreement, lips, looks, rest
from lipserve.quality.measures import SHARP_STEP, Measures, Run
from lipserve.segments import Span
from lipserve.tracking import Tracker, blocks

Numbers = tuple[float, float, float, float]

MAX_LAG_SECONDS = 0.4  # searched on both sides


@dataclass(frozen=True)
class Speech:
    """A stretch of a speech: its samples at 16 kHz, and where they lie.

    Attributes:
        total_samples, peak: of the whole speech (`lipserve.audio.whisper_peak`).
    """

    samples: Samples
    first_sample: int
    total_samples: int
    peak: float


def max_lag(fps: Fraction) -> int:
    """Return how many frames lips and speech are moved against each other, on both sides."""
    return max(1, round(MAX_LAG_SECONDS * float(fps)))


def asked_span(span: Span, fps: Fraction, total_samples: int) -> Span:
    """Return the frames whose speech matters to the frames of `span`; none after the end of the speech."""
    end = math.ceil(Fraction(total_samples, SAMPLE_RATE) * fps)
    first = max(0, span.first - max_lag(fps))
    return Span(first, max(0, min(end, span.stop + max_lag(fps)) - first))


def samples_span(span: Span, fps: Fraction, total_samples: int) -> Span:
    """Return the samples that `measure` needs for the frames of `span`: whole blocks of the encoder."""
    asked = asked_span(span, fps, total_samples)
    return speech.needed(asked, fps, total_samples, 0.0) if asked.count else Span(0, 0)


def measure(
    leaves: Leaves,
    pictures: Iterator[Picture],
    info: VideoInfo,
    span: Span,
    spoken: Speech | None,
    marks: bool = False,
) -> Measures:
    """Return the measures of the frames of a span.

    Args:
        pictures: of these frames, in order. info: of the whole video.
        spoken: the stretch that `samples_span` names; None: lips are compared with nothing.
        marks: also measure the cells of an invisible mark.
    """
    tracker = Tracker(leaves, info.fps, info.pixel_aspect, "all", None)
    cropper = _Looks(tracker, info, looks.Face(), span.first)
    for block in blocks(pictures, span.first):
        cropper.add(block)
    runs = [
        run
        for track, strip in enumerate(cropper.strips())
        for run in _runs(track, strip, tracker, info, span, marks)
    ]
    asked = asked_span(span, info.fps, spoken.total_samples) if spoken else Span(0, 0)
    return Measures(
        first=span.first,
        frames=span.count,
        cuts=[span.first + int(frame) for frame in np.flatnonzero(tracker.cuts) if frame],
        asked_first=asked.first,
        asked=_asked(leaves, spoken, asked, info.fps) if spoken and asked.count else [],
        silent=_silent(spoken, span, info.fps) if spoken else [],
        runs=sorted(runs, key=lambda run: run.first),
    )


class _Looks(Cropper):
    """Keeps the luma of each face."""

    def strips(self) -> Sequence[Strip]:
        """Return a strip for each track, once all pictures were added."""
        self._cut(self._arrived)
        return self._strips


def _asked(leaves: Leaves, spoken: Speech, asked: Span, fps: Fraction) -> list[Numbers]:
    frames = np.arange(asked.first, asked.stop)
    given = (spoken.samples, spoken.first_sample, spoken.total_samples, spoken.peak)
    series = agreement.wanted(leaves, *given, frames, fps)
    return _rows(np.clip(series, -100, 100), 5)


def _silent(spoken: Speech, span: Span, fps: Fraction) -> list[bool]:
    given = spoken.samples, spoken.first_sample, spoken.peak
    return [bool(quiet) for quiet in rest.silent(*given, np.arange(span.first, span.stop), fps)]


def _runs(
    track: int, strip: Strip, tracker: Tracker, info: VideoInfo, span: Span, marks: bool
) -> Iterator[Run]:
    present = np.array(strip.present, bool)
    cuts = np.array(tracker.cuts, bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]]).astype(np.int8)))
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        inner = begin + np.flatnonzero(cuts[begin:end])
        for start, stop in pairwise(sorted({begin, *inner.tolist(), end})):
            yield _run(track, strip, slice(start, stop), info, span, marks)


def _run(track: int, strip: Strip, part: slice, info: VideoInfo, span: Span, marks: bool) -> Run:
    meshes = np.stack(strip.meshes[part]).astype(np.float64)
    images = [image[..., 0].astype(np.float32) for image in strip.images[part]]
    first = span.first + part.start
    sharp = [
        looks.sharpness_beside(image) for frame, image in enumerate(images, first) if frame % SHARP_STEP == 0
    ]
    mouth, around = looks.flickers(images)
    aspect = float(info.pixel_aspect)
    boxes = [faces.box_of(mesh) / (aspect, 1, aspect, 1) for mesh in meshes]
    return Run(
        track=track,
        first=first,
        boxes=_rows(np.stack(boxes), 1),
        lips=_rows(lips.measure(meshes), 5),
        apart=np.clip(rest.apart(meshes), 0, 100).round(4).tolist(),
        sharpness=[None if value is None else round(value, 3) for value in sharp],
        flicker=mouth.round(3).tolist(),
        flicker_around=around.round(3).tolist(),
        skin=[levels(image).round(1).tolist() for image in images] if marks else [],
    )


def _rows(values: NDArray[np.float64], digits: int) -> list[Numbers]:
    return [(a, b, c, d) for a, b, c, d in np.clip(values, -30_000, 30_000).round(digits).tolist()]
