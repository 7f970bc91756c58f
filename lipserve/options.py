"""What a request may ask."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from lipserve.errors import OptionsError
from lipserve.media.picture import VideoInfo

Tier = Literal["wav2lip", "latentsync"]
TIERS: tuple[Tier, ...] = ("wav2lip", "latentsync")

_POINT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*,\s*(\d+(?:\.\d+)?)\s*")


def _fraction(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return Fraction(value)
        except (ValueError, ZeroDivisionError) as error:
            raise ValueError("not a fraction such as 30000/1001") from error
    return Fraction(value) if isinstance(value, int) else value


Rational = Annotated[
    Fraction, BeforeValidator(_fraction), PlainSerializer(lambda value: str(value), return_type=str)
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Segment(_Strict):
    """A stretch of a clip: output frames `first_frame .. first_frame + frames - 1`.

    VIDEO then holds (at least) the source frames that these need, with their original timestamps, `source`
    is what `probe` told of the whole video, and AUDIO is a stretch of the speech that begins at sample
    `first_sample` of 16 kHz, a whole mel hop. The RESULT of a segment has no audio: `join` adds it once.
    """

    index: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(ge=1)]
    first_frame: Annotated[int, Field(ge=0)]
    frames: Annotated[int, Field(ge=1)]
    first_sample: Annotated[int, Field(ge=0, multiple_of=200)]
    source: VideoInfo


class Options(_Strict):
    """The options of a request. Unknown names and contradictions are refused."""

    face: str = Field(
        default="largest", description="which face speaks: largest, all, or the pixel x,y it covers"
    )
    on_no_face: Literal["passthrough", "error"] = Field(
        default="error", description="where the clip shows no face: give it back unchanged, or refuse"
    )
    on_length_mismatch: Literal["loop", "cut", "freeze"] = Field(
        default="loop",
        description="where the speech outlasts the video: play it to and fro, cut the speech, or hold the "
        "last frame (a speech that ends first always ends the result)",
    )
    sync_offset_ms: float = Field(
        default=0.0, ge=-500, le=500, description="move the mouth earlier (+) or later (-) against the sound"
    )
    crf: int = Field(
        default=18, ge=0, le=51, description="x264 quality: 0 lossless, 18 transparent, 51 worst"
    )
    preset: Literal[
        "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
    ] = Field(default="veryfast", description="x264 speed")
    # The quality tier's own.
    steps: int = Field(default=20, ge=1, le=100, description="latentsync: denoising steps")
    guidance: float = Field(default=1.5, ge=1.0, le=5.0, description="latentsync: classifier-free guidance")
    scheduler: Literal["ddim", "dpm++"] = Field(default="ddim", description="latentsync: solver")
    seed: int = Field(default=1247, ge=0, lt=2**63, description="latentsync: seed of the initial noise")
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

    def check(self, tier: Tier) -> Options:
        """Return these options, or raise OptionsError where they mean nothing to `tier`."""
        if self.face not in ("largest", "all") and self.point() is None:
            raise OptionsError(
                f"face={self.face!r} names no face.", "Use largest, all, or a pixel such as 320,180."
            )
        extra = self.model_fields_set & {"steps", "guidance", "scheduler", "seed"}
        if tier == "wav2lip" and extra:
            raise OptionsError(
                f"{', '.join(sorted(extra))} mean nothing to the tier wav2lip.",
                "Leave them out, or ask for the tier latentsync.",
            )
        return self


class GenerateOptions(_Strict):
    """The options of a generate stage, for callers that hold aligned face crops."""

    fps: Annotated[Rational, Field(gt=0, le=120)] = Fraction(25)
    first_sample: Annotated[int, Field(ge=0, multiple_of=200)] = 0
    sync_offset_ms: float = Field(default=0.0, ge=-500, le=500)


_Model = TypeVar("_Model", bound=_Strict)


def parse(cls: type[_Model], text: bytes | str | None) -> _Model:
    """Return the options in a JSON text (None or empty: the defaults), or raise OptionsError."""
    if not text:
        return cls()
    try:
        return cls.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "the JSON text"
        raise OptionsError(
            f"Option {name}: {first['msg']}.",
            f"Known options: {', '.join(n for n in cls.model_fields if n != 'segment')}.",
        ) from error
