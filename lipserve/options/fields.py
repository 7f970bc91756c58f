"""Field types of requests with their ranges, and the error of an invalid value."""

from __future__ import annotations

import difflib
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
_RATIONAL = re.compile(r"-?\d{1,19}(/\d{1,10})?")  # a timestamp: int64 ticks of an int32 time base
_WORD = re.compile(r"[a-zA-Z0-9_.-]{0,32}")
COLOUR = r"white|black|#[0-9a-fA-F]{6}"


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
        and re.fullmatch(COLOUR, info.matte)
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
"""The description of a whole video by a client whose request holds only a part of it."""


# Of 16 kHz; a whole hop of the mel that the fast tier hears.
FirstSample = Annotated[int, Field(ge=0, le=2**40, multiple_of=200)]
TotalSamples = Annotated[int, Field(ge=1, le=2**40)]
Peak = Annotated[float, Field(ge=-10, le=20)]  # log10, as `lipserve.audio.whisper_peak` gives it
STRENGTH_RANGE = (0.5, 1.5)
Strength = Annotated[float, Field(ge=STRENGTH_RANGE[0], le=STRENGTH_RANGE[1])]


def _text(value: Any) -> Any:
    """Return a number of a person as text: JSON and Python have it as a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Face = Annotated[str, BeforeValidator(_text), Field(max_length=32)]
Style = Literal["natural", "calm", "lively"]
STYLES: dict[Style, float] = {"natural": 1.0, "calm": 0.84, "lively": 1.27}
"""How far the mouth opens, of what the person's own does in the middle of their clips.

Of 195 clips of people of whom five or more are known, 10 % opened less than 0.84 and 10 % more than 1.27 of
the same person's median.
"""
Steps = Annotated[int, Field(ge=1, le=100)]
Guidance = Annotated[float, Field(ge=1, le=5)]
Scheduler = Literal["ddim", "dpm++"]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Interval = Annotated[int, Field(ge=1, le=10)]
Resolution = Literal[256, 512]
AudioTrack = Annotated[int, Field(ge=0, lt=1000)]
Mark = Annotated[str, Field(pattern=r"^[!-~]([ -~]{0,22}[!-~])?$")]
InvisibleMark = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
Offset = Annotated[float, Field(ge=-500, le=500)]  # ms


class Strict(BaseModel):
    """Fields that are held to their types: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, allow_inf_nan=False)


_Model = TypeVar("_Model", bound=BaseModel)


def parse(cls: type[_Model], text: bytes | str | None, most: int = MAX_OPTIONS) -> _Model:
    """Return the options in a JSON text (None or empty: the defaults), or raise OptionsError.

    Args:
        most: bytes that it may have.
    """
    if not text:
        text = "{}"
    if len(text) > most:
        raise OptionsError(f"The options are longer than {most} bytes.", "Send a JSON object of options.")
    try:
        return cls.model_validate_json(text)
    except ValidationError as error:
        raise refusal(cls, error) from error


def refusal(cls: type[BaseModel], error: ValidationError) -> OptionsError:
    """Return the error of the first invalid field, with the valid values."""
    first = error.errors(include_url=False)[0]
    known = [name for name in cls.model_fields if name != "segment"]
    name = ".".join(str(part) for part in first["loc"])[:80]
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        near = difflib.get_close_matches(name, known, 1)
        guess = f"; did you mean {near[0]}?" if near else "."
        return OptionsError(f"There is no option {name}{guess}", f"Known options: {', '.join(known)}.")
    if not name:
        return OptionsError(
            f"The options are not a JSON object: {first['msg']}.", "Send a JSON object of options."
        )
    return refused(error, "", _remedy(cls, str(first["loc"][0])))


def refused(error: ValidationError, prefix: str, remedy: str) -> OptionsError:
    """Return the error of the first invalid field, whose name has a prefix."""
    first = error.errors(include_url=False)[0]
    name = prefix + ".".join(str(part) for part in first["loc"])[:80]
    if first["type"] == "missing":
        return OptionsError(f"Option {name} is missing.", remedy)
    value, reason = repr(first["input"])[:80], first["msg"].removeprefix("Value error, ")
    reason = f"it {reason.removeprefix('Input ')}" if reason.startswith("Input ") else reason
    reason = "this is not its form" if first["type"] == "string_pattern_mismatch" else reason
    return OptionsError(f"Option {name}={value}: {reason}.", remedy)


def _remedy(cls: type[BaseModel], option: str) -> str:
    """Return what an option may be: the words of `lipserve dub --help`."""
    field = cls.model_fields.get(option)
    if field is None or not field.description:
        return "`lipserve dub --help` lists the valid values."
    return f"Give as {option}: {field.description}."
