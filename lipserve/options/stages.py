"""The options of single stages."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field

from lipserve.files.picture import MAX_VIDEO_FRAMES
from lipserve.options.fields import (
    STRENGTH_RANGE,
    STYLES,
    ClaimedVideo,
    FirstSample,
    FrameRate,
    Offset,
    Peak,
    Strength,
    Strict,
    Style,
    TotalSamples,
)
from lipserve.options.request import QualityOptions

MAX_STRETCHES = 16  # that one call prepares from ...
MAX_STRETCH_FRAMES = 288  # ... and their frames together: of every third the mouth's pixels are held


class GenerateOptions(Strict):
    """The options of a generate stage, for callers that hold aligned face crops."""

    fps: FrameRate = Fraction(25)
    first_sample: FirstSample = 0
    sync_offset_ms: Offset = 0.0


class LipwarpOptions(GenerateOptions):
    """The options of the generate stage that moves mouths.

    Attributes:
        total_samples: of the whole speech; None: AUDIO is its end.
        peak: of the whole speech; None: of AUDIO.
    """

    total_samples: TotalSamples | None = None
    peak: Peak | None = None
    strength: Strength = 1.0
    style: Style = "natural"

    @property
    def opening(self) -> float:
        """How far the mouth opens, of the person's own: strength and style together, in strength's range."""
        return min(max(self.strength * STYLES[self.style], STRENGTH_RANGE[0]), STRENGTH_RANGE[1])


class Stretch(Strict):
    """Source frames `first .. first + frames - 1` of a video."""

    first: Annotated[int, Field(ge=0, le=MAX_VIDEO_FRAMES)]
    frames: Annotated[int, Field(ge=1, le=MAX_STRETCH_FRAMES)]


def _few(stretches: tuple[Stretch, ...]) -> tuple[Stretch, ...]:
    if sum(stretch.frames for stretch in stretches) > MAX_STRETCH_FRAMES:
        raise ValueError(f"more than {MAX_STRETCH_FRAMES} frames in all")
    return stretches


class PrepareOptions(Strict):
    """The options of a preparation.

    Attributes:
        face: as for a request.
        sha256: of the whole video's file, which SOURCE then carries; empty: nobody asks.
        source: what `probe` told of the whole video; None: VIDEO is the whole.
        stretches: which source frames are looked at, rising: each element of VIDEO holds one of them, or one
            element all; none: a spread of all frames, of one element.
    """

    face: str = Field(default="largest", max_length=32)
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    source: ClaimedVideo | None = None
    stretches: Annotated[tuple[Stretch, ...], Field(max_length=MAX_STRETCHES), AfterValidator(_few)] = ()


class CheckOptions(Strict):
    """The options of a measurement.

    Attributes:
        source: what `probe` told of the whole video; None: VIDEO is the whole.
        first, frames: the source frames that are measured, and that VIDEO holds; None: to the video's end.
        first_sample: of AUDIO in the speech, at 16 kHz.
        total_samples: of the whole speech; None: AUDIO is its end.
        peak: of the whole speech; None: of AUDIO.
        invisible_mark: look for one, too.
    """

    source: ClaimedVideo | None = None
    first: Annotated[int, Field(ge=0, le=MAX_VIDEO_FRAMES)] = 0
    frames: Annotated[int, Field(ge=1, le=MAX_VIDEO_FRAMES)] | None = None
    first_sample: FirstSample = 0
    total_samples: TotalSamples | None = None
    peak: Peak | None = None
    invisible_mark: bool = False


class LatentSyncOptions(QualityOptions, GenerateOptions):
    """The options of the quality tier's generate stage: `Options`', and where its crops lie in their clip.

    Attributes:
        first_frame, frames: the stretch of the clip that is windowed; None: from the first crop's window, to
            the last crop.
        total_samples: of the whole speech; None: AUDIO is its end.
        peak: of the whole speech; None: of AUDIO.
    """

    first_frame: Annotated[int, Field(ge=0, le=MAX_VIDEO_FRAMES)] | None = None
    frames: Annotated[int, Field(ge=1, le=MAX_VIDEO_FRAMES)] | None = None
    total_samples: TotalSamples | None = None
    peak: Peak | None = None
