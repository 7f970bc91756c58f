"""What a caller asks for. Media are references: a file that was sent, or an address."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from lipserve.contracts import DEFAULT_TIER, TierName
from lipserve.cues.cue import MAX_CUES
from lipserve.errors import OptionsError
from lipserve.options import Options
from lipserve.options.fields import Face
from lipserve.text import printable
from lipserve.tiers import named
from lipserve_jobs.records.refusal import refusal

Kind = Literal["dub", "faces", "check", "estimate"]
Priority = Literal["high", "normal", "low"]

FILE = "file:"
MAX_ADDRESS = 4096  # characters; presigned addresses are long
_REFERENCE = re.compile(r"(file:[0-9a-f]{32}|https?://[!-~]+|s3://[!-~]+)")
_HOOK = re.compile(r"https?://[!-~]+")


def _has_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # an IPv6 address without its end, a port that is no number
        return False


def _reference(value: str) -> str:
    known = _REFERENCE.fullmatch(value)
    if not known or not (value.startswith(FILE) or _has_host(value)):
        raise ValueError("no file:ID of an upload, no https:// address and no s3:// address")
    return value


def _background(value: str) -> str:
    return value if value == "video" else _reference(value)


def _hook(value: str) -> str:
    if not _HOOK.fullmatch(value) or not _has_host(value):
        raise ValueError("no http:// or https:// address")
    return value


def _target(value: str) -> str:
    if value.startswith(FILE):
        raise ValueError("no https:// address and no s3:// address")
    return _reference(value)


_Address = Annotated[str, Field(max_length=MAX_ADDRESS)]
Reference = Annotated[_Address, AfterValidator(_reference)]
"""`file:ID` (what an upload answered), `https://...` or `s3://bucket/key`."""
Label = Annotated[str, Field(max_length=200), AfterValidator(printable)]
Seconds = Annotated[float, Field(ge=0, le=10**7)]
Loudness = Annotated[float, Field(gt=-70, le=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CueRequest(_Strict):
    """A stretch of the video in which a face speaks: `lipserve.Cue`, with a reference as its speech."""

    start: Seconds = 0.0
    end: Seconds | None = None
    face: Face = "largest"
    speech: Reference | None = None
    offset: Seconds | None = None


class BypassRequest(_Strict):
    """A stretch in which the picture stays untouched."""

    start: Seconds
    end: Seconds


def _pair(value: Any) -> Any:
    pair = isinstance(value, list | tuple) and len(value) == 2
    return {"start": value[0], "end": value[1]} if pair else value


Bypass = Annotated[BypassRequest, BeforeValidator(_pair)]


class JobRequest(_Strict):
    """A job.

    Attributes:
        kind: `dub` a video; or measure it: `faces` (who is there), `check` (how good it is), `estimate`
            (how long it would take).
        video, speech, source, cues, bypass, background, background_lufs, loudness, tier, options: those of
            `Client.dub`.
        priority: among the tenant's own jobs.
        webhook: address that is told when the job has ended.
        result: where else the result is put (a presigned https:// address for PUT, or s3://).
        name, metadata: the caller's own, given back as they are.
    """

    kind: Kind = "dub"
    video: Reference
    speech: Reference | None = None
    source: Reference | None = None
    cues: Annotated[tuple[CueRequest, ...], Field(max_length=MAX_CUES)] | None = None
    bypass: Annotated[
        tuple[Annotated[BypassRequest, BeforeValidator(_pair)], ...], Field(max_length=MAX_CUES)
    ] = ()
    background: Annotated[_Address, AfterValidator(_background)] | None = None
    background_lufs: Loudness | None = None
    loudness: Loudness | None = None
    tier: TierName = DEFAULT_TIER
    options: dict[str, Any] = Field(default={}, description="fields of Options: docs/options.md")
    priority: Priority = "normal"
    webhook: Annotated[_Address, AfterValidator(_hook)] | None = None
    result: Annotated[_Address, AfterValidator(_target)] | None = None
    name: Label = ""
    metadata: Annotated[dict[Annotated[str, Field(max_length=64)], Label], Field(max_length=16)] = {}

    @classmethod
    def of(cls, fields: Any) -> JobRequest:
        """Return the request of decoded JSON; OptionsError names the first field that is wrong."""
        try:
            request = cls.model_validate(fields)
        except ValidationError as error:
            raise refusal("The job", error, "docs/jobs/api.md shows the fields of a job.") from error
        request.checked_options()
        return request

    @model_validator(mode="after")
    def _speaks(self) -> JobRequest:
        needs = self.kind == "estimate" or (self.kind == "dub" and not self.cues)
        if needs and self.speech is None:
            raise ValueError("there is no speech; give one, or cues with a speech each")
        if self.background_lufs is not None and self.background is None:
            raise ValueError("background_lufs needs a background")
        return self

    def checked_options(self) -> Options:
        """Return the options, held to the tier; OptionsError where they are wrong."""
        if "segment" in self.options:
            raise OptionsError("The option segment is the service's own.", "Leave it out.")
        return named(self.tier).check(Options(**self.options))

    @property
    def files(self) -> tuple[str, ...]:
        """The ids of the files that were sent for it."""
        sent = (reference for reference in self.references.values() if reference.startswith(FILE))
        return tuple(reference.removeprefix(FILE) for reference in sent)

    @property
    def references(self) -> dict[str, str]:
        """The references by the name that the job gives each file; equal ones have one name."""
        given = {"video": self.video, "speech": self.speech, "source": self.source}
        if self.background != "video":
            given["background"] = self.background
        for number, cue in enumerate(self.cues or (), 1):
            given[f"cue-{number}"] = cue.speech
        names: dict[str, str] = {}
        for name, reference in given.items():
            if reference is not None:
                names.setdefault(reference, name)
        return {name: reference for reference, name in names.items()}
