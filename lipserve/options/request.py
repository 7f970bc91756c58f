"""The options of a request."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from lipserve.errors import OptionsError
from lipserve.files.picture import MAX_VIDEO_FRAMES, VideoInfo
from lipserve.options.consent import FORM, Consent
from lipserve.options.fields import (
    COLOUR,
    AudioTrack,
    ClaimedVideo,
    Face,
    FirstSample,
    Guidance,
    Interval,
    InvisibleMark,
    Mark,
    Offset,
    Peak,
    Resolution,
    Scheduler,
    Seed,
    Steps,
    Strength,
    Strict,
    Style,
    TotalSamples,
    refusal,
)
from lipserve.segments import Mismatch

_NUMBER = re.compile(r"[1-9]\d{0,3}")
_POINT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*,\s*(\d+(?:\.\d+)?)\s*")


class Segment(Strict):
    """A stretch of a clip: output frames `first_frame .. first_frame + frames - 1`.

    VIDEO then holds (at least) the source frames that these need, with their original timestamps, `source`
    is what `probe` told of the whole video, and AUDIO is a stretch of the speech that begins at sample
    `first_sample` of 16 kHz, a whole mel hop. The RESULT of a segment has no audio: `join` adds it once.

    Where features depend on the whole speech, `total_samples` is its length at 16 kHz, `peak` what
    `whisper_peak` tells of it.

    Attributes:
        total_frames: output frames of the clip; `on_length_mismatch=remap` needs to know.
        fade_in, fade_out: what comes before, or after, is untouched: the driven mouth fades there.
        parameter_set: number of the H.264 parameter sets; another than that of packets that are copied.
    """

    index: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(ge=1)]
    first_frame: Annotated[int, Field(ge=0, le=MAX_VIDEO_FRAMES)]
    frames: Annotated[int, Field(ge=1, le=MAX_VIDEO_FRAMES)]
    first_sample: FirstSample
    total_samples: TotalSamples | None = None
    peak: Peak | None = None
    source: ClaimedVideo
    total_frames: Annotated[int, Field(ge=1, le=MAX_VIDEO_FRAMES)] | None = None
    fade_in: bool = False
    fade_out: bool = False
    parameter_set: Annotated[int, Field(ge=0, le=31)] = 0


class QualityOptions(Strict):
    """The options that only the tier `latentsync` knows: of a request, and of its generate stage."""

    steps: Steps = Field(default=20, description="latentsync: denoising steps, 1 to 100")
    guidance: Guidance = Field(
        default=1.5, description="latentsync: classifier-free guidance, 1 (none) to 5 (most)"
    )
    scheduler: Scheduler = Field(default="ddim", description="latentsync: solver of the denoising steps")
    seed: Seed = Field(default=1247, description="latentsync: seed of the random noise")
    deepcache: Interval = Field(
        default=1,
        description="latentsync: run the whole network at every Nth step only, 1 to 10: faster, less exact",
    )
    resolution: Resolution | None = Field(
        default=None,
        description="latentsync: refuse a server whose face crops have another size (default: take any)",
    )
    reference: bool = Field(
        default=False,
        description="latentsync: reproduce upstream's audio blocks and frame count (for parity checks)",
    )


class _CommonOptions(Strict):
    """The options of every tier, and those of `lipwarp`."""

    face: Face = Field(
        default="largest",
        description="face to dub: largest, all, the one that covers the pixel x,y, the one that is speaking, "
        "or the number that `lipserve faces` gives it",
    )
    on_no_face: Literal["passthrough", "error"] = Field(
        default="error", description="if no face is found: return the video unchanged, or fail"
    )
    on_length_mismatch: Mismatch = Field(
        default="loop",
        description="if the speech is longer than the video: play the video forwards and backwards (loop), "
        "again and again (repeat), hold its last frame (freeze) or cut the speech (cut); if they differ: "
        "change the video's speed (remap), end with the video and leave it as it is after the speech (keep) "
        "or let it play on with a closed mouth (silence)",
    )
    sync_offset_ms: Offset = Field(
        default=0.0,
        description="time shift of the mouth: +80 shows each mouth shape 80 ms earlier; the sound stays",
    )
    audio_track: AudioTrack | None = Field(
        default=None,
        description="audio track of the speech file, counted from 0 (default: the track marked as default, "
        "else the first)",
    )
    matte: str = Field(
        default="white",
        pattern=f"^({COLOUR})$",
        description="colour behind transparent pixels of the video: white, black, or #RRGGBB",
    )
    crf: int = Field(
        default=18, ge=0, le=51, description="x264 quality: 0 lossless, 18 transparent, 51 worst"
    )
    preset: Literal[
        "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
    ] = Field(default="veryfast", description="x264 speed")
    mark: Mark | None = Field(
        default=None,
        description="words that every picture shows in a corner, such as AI: up to 24 characters of ASCII",
    )
    invisible_mark: InvisibleMark | None = Field(
        default=None,
        description="number of 8 hexadecimal digits, such as 5a1f03c2, that the skin around driven mouths "
        "carries unseen; `lipserve check` finds it",
    )
    consent: Consent | None = Field(
        default=None,
        description=FORM,
    )
    strength: Strength = Field(
        default=1.0, description="lipwarp: how far the mouth opens, 0.5 to 1.5; 1: as the person's own does"
    )
    style: Style = Field(
        default="natural",
        description="lipwarp: as strength, in words: calm and lively are as far as one person's clips differ",
    )


class Options(QualityOptions, _CommonOptions):
    """The options of a request. Unknown names and contradictions are refused."""

    segment: Segment | None = Field(default=None, description="set by the client where it cuts a long clip")

    def __init__(self, **fields: Any) -> None:
        """Hold the fields to what a request may ask; OptionsError names the first that is wrong."""
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise refusal(type(self), error) from error
        self.check_face()

    def point(self) -> tuple[float, float] | None:
        """Return the pixel that `face` names, or None for `largest` and `all`."""
        match = _POINT.fullmatch(self.face)
        return (float(match[1]), float(match[2])) if match else None

    def point_in(self, info: VideoInfo) -> tuple[float, float] | None:
        """Return `point`, or raise OptionsError where it lies outside the picture."""
        point = self.point()
        if point is not None and not (point[0] < info.width and point[1] < info.height):
            raise OptionsError(
                f"face={self.face!r} lies outside the picture of {info.width}x{info.height}.",
                "Give a pixel of the upright picture; 0,0 is its top left.",
            )
        return point

    @property
    def by_people(self) -> bool:
        """Whether the video must be measured first to know whose face is meant."""
        return self.face == "speaking" or _NUMBER.fullmatch(self.face) is not None

    def check_face(self) -> None:
        """Raise OptionsError where `face` is no way to name one."""
        if self.face not in ("largest", "all") and self.point() is None and not self.by_people:
            raise OptionsError(
                f"face={self.face!r} is not a valid choice of a face.",
                "Use largest, all, speaking, a number of `lipserve faces`, or a pixel such as 320,180.",
            )

    def check_known(self) -> None:
        """Raise OptionsError where `face` names somebody whom only LipServe's client can find."""
        if self.by_people:
            raise OptionsError(
                f"face={self.face} is found out by LipServe's client, which measures the video first.",
                "Use the client, or name a pixel of the face.",
            )
