"""The request's context: what preprocess decides and reports, as JSON for postprocess."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lipserve.contracts import TierName
from lipserve.errors import LimitError, OptionsError
from lipserve.faces import fade
from lipserve.files.picture import MAX_VIDEO_FRAMES, VideoInfo
from lipserve.media import probe
from lipserve.media.encode import encoded_size
from lipserve.media.opening import OpenedVideo
from lipserve.options import ClaimedVideo, Options, Segment
from lipserve.passages import Passage
from lipserve.quality.judging import Judging
from lipserve.report import Score
from lipserve.segments import Span, output_frames, source_frames
from lipserve.tiers import TIERS, Tier
from lipserve.tracking import MAX_FACES

MAX_FRAMES = max(tier.max_frames for tier in TIERS.values())
MAX_CONTEXT = 1 << 22  # bytes of JSON: the places of every mouth of the longest request
MAX_RESULT_PIXELS = 6_300_000_000  # of a request's frames together: 3000 of 1920x1080, 178 of 8192x4320


class RequestContext(BaseModel):
    """The decisions and the first half of the report, as JSON between the stages."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    tier: TierName
    options: Options
    source: ClaimedVideo
    first_frame: Annotated[int, Field(ge=0, le=MAX_VIDEO_FRAMES)]
    frames: Annotated[int, Field(ge=1, le=MAX_FRAMES)]
    faces: Annotated[int, Field(ge=0, le=MAX_FACES)]
    faceless_frames: Annotated[int, Field(ge=0)]
    covered_frames: Annotated[int, Field(ge=0)] = 0
    driven_frames: Annotated[int, Field(ge=0)] = 0
    passages: Annotated[list[Passage], Field(max_length=1000)] = []
    by_offset_before: Annotated[list[Score], Field(max_length=101)] = []
    samples_before: Annotated[int, Field(ge=0, le=MAX_FRAMES * MAX_FACES)] = 0
    judging: Judging | None = None  # of a tier that paints
    untouched_frames: Annotated[int, Field(ge=0)] = 0
    detector_calls: Annotated[int, Field(ge=0, le=MAX_VIDEO_FRAMES)]
    warnings: Annotated[list[Annotated[str, Field(max_length=10_000)]], Field(max_length=100)]
    preprocess_seconds: Annotated[float, Field(ge=0, le=86_400)]
    # Unix time, so that postprocess can tell how long generation took.
    finished_at: Annotated[float, Field(ge=0, le=2**40)]

    @model_validator(mode="after")
    def _bounded(self) -> RequestContext:
        counts = self.faceless_frames, self.covered_frames, self.untouched_frames, self.driven_frames
        if max(counts) > self.frames:
            raise ValueError("more frames without a mouth than frames")
        _check_pixels(self.frames, self.source)
        return self

    @property
    def span(self) -> Span:
        return Span(self.first_frame, self.frames)

    @property
    def shown(self) -> NDArray[np.int64]:
        """The source frame [F] that each output frame of the request shows."""
        options, total = self.options, total_frames(self.options, self.span)
        return source_frames(self.span, self.source.frames, options.on_length_mismatch, total)


def describe(video: OpenedVideo, segment: Segment | None) -> VideoInfo:
    """Return what is known of the request's video, which for a segment is what its client told of the whole.

    The client's word is held against the file: the pictures must be of that size.
    """
    info = probe.probe(video)
    if segment is None:
        return info
    whole = segment.source
    if {whole.width, whole.height} != {info.width, info.height}:
        raise OptionsError(
            f"segment.source states a picture of {whole.width}x{whole.height}, VIDEO has "
            f"{info.width}x{info.height}.",
            "Send the result of `probe` for the video from which the segment was cut.",
        )
    return whole


def check_resolution(requested: int | None, held: int) -> None:
    """Raise OptionsError if the quality tier's leaves were exported for another crop size."""
    if requested not in (None, held):
        raise OptionsError(
            f"resolution={requested} is not available: this server has {held}.",
            f"Set resolution={held}, leave it out, or use a server that was exported for {requested}.",
        )


def choose_span(info: VideoInfo, seconds: float, options: Options, tier: Tier) -> Span:
    """Return the output frames of the request; `seconds` is the length of its speech."""
    segment = options.segment
    span = (
        Span(segment.first_frame, segment.frames)
        if segment
        else Span(0, output_frames(info, seconds, options.on_length_mismatch, options.reference))
    )
    if span.count > tier.max_frames:
        raise LimitError(
            f"The result would have {span.count} frames; one request makes at most {tier.max_frames}.",
            "Use the lipserve client, which cuts long clips into segments, or send a shorter clip.",
        )
    _check_pixels(span.count, info)
    return span


def total_frames(options: Options, span: Span) -> int:
    """Return how many output frames the clip has, of which the request makes `span`.

    Raises:
        OptionsError: a segment does not tell, and its options need to know.
    """
    segment = options.segment
    if segment is None:
        return span.count
    total = segment.total_frames or span.stop
    unknown = segment.total_frames is None and options.on_length_mismatch == "remap"
    if unknown or total < span.stop:
        raise OptionsError(
            f"segment.total_frames={segment.total_frames} is not the length of the clip.",
            "Send the number of output frames of the whole clip with every segment.",
        )
    return total


def driven_weights(span: Span, spoken: int, options: Options) -> NDArray[np.float32]:
    """Return the weight [F], 0..1, with which each output frame of a request is driven.

    It is 1 but where the driven mouth gives way to the source's own: at the ends of a segment whose
    neighbours are untouched, and, with `keep`, after the `spoken` frames of the speech.
    """
    segment = options.segment
    driven = np.ones(span.count, bool)
    if segment is None and options.on_length_mismatch == "keep":
        driven[spoken:] = False
    before, after = (segment.fade_in, segment.fade_out) if segment else (False, False)
    return fade(np.concatenate([[not before], driven, [not after]]))[1:-1]


def _check_pixels(frames: int, info: VideoInfo) -> None:
    width, height = encoded_size(info.width, info.height)
    if frames * width * height > MAX_RESULT_PIXELS:
        raise LimitError(
            f"The result would have {frames} frames of {width}x{height}; one request makes at most "
            f"{MAX_RESULT_PIXELS // (width * height)} of that size.",
            "Use the lipserve client, which cuts long clips into segments, or send a shorter or smaller "
            "video.",
        )
