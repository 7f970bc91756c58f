"""What a request may ask, and what single stages are asked."""

from lipserve.options.fields import MAX_OPTIONS, ClaimedVideo, FrameRate, Rational, Scheduler, parse
from lipserve.options.request import Options, QualityOptions, Segment
from lipserve.options.stages import (
    MAX_STRETCH_FRAMES,
    MAX_STRETCHES,
    GenerateOptions,
    LatentSyncOptions,
    LipwarpOptions,
    PrepareOptions,
    Stretch,
)

__all__ = [
    "MAX_OPTIONS",
    "MAX_STRETCHES",
    "MAX_STRETCH_FRAMES",
    "ClaimedVideo",
    "FrameRate",
    "GenerateOptions",
    "LatentSyncOptions",
    "LipwarpOptions",
    "Options",
    "PrepareOptions",
    "QualityOptions",
    "Rational",
    "Scheduler",
    "Segment",
    "Stretch",
    "parse",
]
