"""Typed keywords of a call, for editors and type checkers; a test compares them with the options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict

from lipserve.options import Consent, Scheduler, Segment, Style
from lipserve.segments import Mismatch


class DubFields(TypedDict, total=False):
    """The fields of `Options`; what each means: `lipserve dub --help`, docs/options.md."""

    face: str | int
    on_no_face: Literal["passthrough", "error"]
    on_length_mismatch: Mismatch
    sync_offset_ms: float
    audio_track: int | None
    matte: str
    crf: int
    preset: Literal[
        "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
    ]
    mark: str | None
    invisible_mark: str | None
    consent: Consent | Mapping[str, str] | None
    strength: float
    style: Style
    steps: int
    guidance: float
    scheduler: Scheduler
    seed: int
    deepcache: int
    resolution: Literal[256, 512] | None
    reference: bool
    segment: Segment | None


class GenerateFields(TypedDict, total=False):
    """The fields of the generate stages' options that `Client.generate` does not name itself."""

    first_sample: int
    sync_offset_ms: float
    first_frame: int | None
    total_samples: int | None
    peak: float | None
    steps: int
    guidance: float
    scheduler: Scheduler
    seed: int
    deepcache: int
    resolution: Literal[256, 512] | None
    reference: bool
