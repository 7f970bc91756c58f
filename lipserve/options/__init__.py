"""Options of a request, and of single stages."""

from lipserve.options.consent import Consent
from lipserve.options.fields import MAX_OPTIONS, ClaimedVideo, FrameRate, Rational, Scheduler, Style, parse
from lipserve.options.request import Options, QualityOptions, Segment
from lipserve.options.stages import (
    MAX_STRETCH_FRAMES,
    MAX_STRETCHES,
    CheckOptions,
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
    "CheckOptions",
    "ClaimedVideo",
    "Consent",
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
    "Style",
    "parse",
]
