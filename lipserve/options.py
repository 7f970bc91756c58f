"""What a request may ask."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

from lipserve.errors import OptionsError
from lipserve.files.picture import MAX_PIXELS, MAX_SIDE, MAX_START, MAX_VIDEO_FRAMES, VideoInfo
from lipserve.files.timeline import MAX_RATE, MIN_RATE

MAX_OPTIONS = 65_536  # bytes of JSON
MAX_STRETCHES = 16  # that one call prepares from ...
MAX_STRETCH_FRAMES = 288  # ... and their frames together: of every third the mouth's pixels are held
_RATIONAL = re.compile(r"-?\d{1,19}(/\d{1,10})?")  # a timestamp: int64 ticks of an int32 time base
_WORD = re.compile(r"[a-zA-Z0-9_.-]{0,32}")
_COLOUR = r"white|black|#[0-9a-fA-F]{6}"
_POINT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*,\s*(\d+(?:\.\d+)?)\s*")


def _fraction(value: Any) -> Fraction:
    """Return a fraction. Texts are held to a pattern first: `1e900000000` would keep a core for hours."""
    if isinstance(value, Fraction):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**19:
        return Fraction(value)
    if isinstance(value, str) and _RATIONAL.fullmatch(value):
        try:
            return Fraction(value)
        except ZeroDivisionError:
            pass
    raise ValueError("not a fraction such as 30000/1001")


def _rate(value: Fraction) -> Fraction:
    if not (Fraction(1, 1000) <= value <= 120 and _fits_ffmpeg(value)):
        raise ValueError("no frame rate between 1/1000 and 120 frames a second")
    return value


def _fits_ffmpeg(value: Fraction) -> bool:
    return max(value.numerator, value.denominator) < 2**31


def _fractions_of(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    names = [name for name in ("fps", "start", "pixel_aspect") if name in value]
    return {**value, **{name: _fraction(value[name]) for name in names}}


def _sane(info: VideoInfo) -> VideoInfo:
    """Hold what a client claims of its video to what `probe` can tell."""
    if not (
        1 <= info.width <= MAX_SIDE
        and 1 <= info.height <= MAX_SIDE
        and info.width * info.height <= MAX_PIXELS
        and MIN_RATE <= info.fps <= MAX_RATE
        and _fits_ffmpeg(info.fps)
        and Fraction(1, 1000) <= info.pixel_aspect <= 1000
        and _fits_ffmpeg(info.pixel_aspect)
        and abs(info.start) < MAX_START
        and 1 <= info.frames <= MAX_VIDEO_FRAMES
        and info.rotation in (0, 90, 180, 270)
        and re.fullmatch(_COLOUR, info.background)
        and all(_WORD.fullmatch(word) for word in (info.codec, info.pixel_format))
        and sum(map(len, info.warnings)) < 10_000
    ):
        raise ValueError("not what probe tells of any video")
    return info


Rational = Annotated[
    Fraction, BeforeValidator(_fraction), PlainSerializer(lambda value: str(value), return_type=str)
]
FrameRate = Annotated[Rational, AfterValidator(_rate)]
ClaimedVideo = Annotated[VideoInfo, BeforeValidator(_fractions_of), AfterValidator(_sane)]
"""What a client tells of a video that the server does not see whole."""


# Of 16 kHz; a whole hop of the mel that the fast tier hears.
FirstSample = Annotated[int, Field(ge=0, le=2**40, multiple_of=200)]
TotalSamples = Annotated[int, Field(ge=1, le=2**40)]
Peak = Annotated[float, Field(ge=-10, le=20)]  # log10, as `lipserve.audio.whisper_peak` gives it
Strength = Annotated[float, Field(ge=0.5, le=1.5)]
Steps = Annotated[int, Field(ge=1, le=100)]
Guidance = Annotated[float, Field(ge=1, le=5)]
Scheduler = Literal["ddim", "dpm++"]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Interval = Annotated[int, Field(ge=1, le=10)]
Resolution = Literal[256, 512]
AudioTrack = Annotated[int, Field(ge=0, lt=1000)]
Offset = Annotated[float, Field(ge=-500, le=500)]  # ms


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, allow_inf_nan=False)


class Segment(_Strict):
    """A stretch of a clip: output frames `first_frame .. first_frame + frames - 1`.

    VIDEO then holds (at least) the source frames that these need, with their original timestamps, `source`
    is what `probe` told of the whole video, and AUDIO is a stretch of the speech that begins at sample
    `first_sample` of 16 kHz, a whole mel hop. The RESULT of a segment has no audio: `join` adds it once.

    The quality tier's features depend on the whole speech: `total_samples` is its length at 16 kHz, `peak`
    what `whisper_peak` tells of it.
    """

    index: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(ge=1)]
    first_frame: Annotated[int, Field(ge=0, le=MAX_VIDEO_FRAMES)]
    frames: Annotated[int, Field(ge=1, le=MAX_VIDEO_FRAMES)]
    first_sample: FirstSample
    total_samples: TotalSamples | None = None
    peak: Peak | None = None
    source: ClaimedVideo


class Options(_Strict):
    """The options of a request. Unknown names and contradictions are refused."""

    face: str = Field(
        default="largest",
        max_length=32,
        description="which face speaks: largest, all, or the pixel x,y it covers",
    )
    on_no_face: Literal["passthrough", "error"] = Field(
        default="error", description="where the clip shows no face: give it back unchanged, or refuse"
    )
    on_length_mismatch: Literal["loop", "cut", "freeze"] = Field(
        default="loop",
        description="where the speech outlasts the video: play it to and fro, cut the speech, or hold the "
        "last frame (a speech that ends first always ends the result)",
    )
    sync_offset_ms: Offset = Field(
        default=0.0, description="move the mouth earlier (+) or later (-) against the sound"
    )
    audio_track: AudioTrack | None = Field(
        default=None,
        description="which sound track of the speech, counted from 0 (default: the one that its file flags, "
        "or the first)",
    )
    background: str = Field(
        default="white",
        pattern=f"^({_COLOUR})$",
        description="what shows where the video is transparent: white, black, or #RRGGBB",
    )
    crf: int = Field(
        default=18, ge=0, le=51, description="x264 quality: 0 lossless, 18 transparent, 51 worst"
    )
    preset: Literal[
        "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
    ] = Field(default="veryfast", description="x264 speed")
    strength: Strength = Field(
        default=1.0, description="lipwarp: how far the mouth opens, 0.5 to 1.5; 1: as the person's own does"
    )
    # The quality tier's own, as in `LatentSyncOptions`.
    steps: Steps = Field(default=20, description="latentsync: denoising steps, 1 to 100")
    guidance: Guidance = Field(
        default=1.5, description="latentsync: classifier-free guidance, 1 (none) to 5: closer to the speech"
    )
    scheduler: Scheduler = Field(default="ddim", description="latentsync: solver")
    seed: Seed = Field(default=1247, description="latentsync: seed of all noise")
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
        description="latentsync: upstream's blocks of speech, and its number of frames",
    )
    segment: Segment | None = Field(default=None, description="set by the client where it cuts a long clip")

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
                "Name a pixel of the upright picture, 0,0 being its top left.",
            )
        return point

    def check_face(self) -> None:
        """Raise OptionsError where `face` is no way to name one."""
        if self.face not in ("largest", "all") and self.point() is None:
            raise OptionsError(
                f"face={self.face!r} names no face.", "Use largest, all, or a pixel such as 320,180."
            )


class GenerateOptions(_Strict):
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


class Stretch(_Strict):
    """Source frames `first .. first + frames - 1` of a video."""

    first: Annotated[int, Field(ge=0, le=MAX_VIDEO_FRAMES)]
    frames: Annotated[int, Field(ge=1, le=MAX_STRETCH_FRAMES)]


def _few(stretches: tuple[Stretch, ...]) -> tuple[Stretch, ...]:
    if sum(stretch.frames for stretch in stretches) > MAX_STRETCH_FRAMES:
        raise ValueError(f"more than {MAX_STRETCH_FRAMES} frames in all")
    return stretches


class PrepareOptions(_Strict):
    """What a video is prepared for.

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


class LatentSyncOptions(GenerateOptions):
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
    steps: Steps = 20
    guidance: Guidance = 1.5
    scheduler: Scheduler = "ddim"
    seed: Seed = 1247
    deepcache: Interval = 1
    resolution: Resolution | None = None
    reference: bool = False


_Model = TypeVar("_Model", bound=BaseModel)


def parse(cls: type[_Model], text: bytes | str | None) -> _Model:
    """Return the options in a JSON text (None or empty: the defaults), or raise OptionsError."""
    if not text:
        text = "{}"
    if len(text) > MAX_OPTIONS:
        raise OptionsError(
            f"The options are longer than {MAX_OPTIONS} bytes.", "Send a JSON object of options."
        )
    try:
        return cls.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])[:80] or "the JSON text"
        raise OptionsError(
            f"Option {name}: {first['msg']}.",
            f"Known options: {', '.join(n for n in cls.model_fields if n != 'segment')}.",
        ) from error
