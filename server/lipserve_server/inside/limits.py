"""Limits that an operator sets: on one request, and on all waiting requests together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lipserve.errors import LimitError, SetupError
from lipserve.files.picture import MAX_PIXELS, VideoInfo
from lipserve.options import Options

VARIABLE = "LIPSERVE_LIMITS"
"""The environment variable that holds limits, as `NAME=VALUE,NAME=VALUE`: an operator's, and the stages'."""

MIB = 1 << 20
Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
]
_PRESETS = get_args(Preset)  # from the fastest to the slowest


class Limits(BaseModel):
    """The limits of a server. A request over one of them is a LimitError that names it.

    Attributes:
        pixels: of a picture, width x height.
        preset: the slowest of x264's.
        crf: the lowest, which is the best quality and the largest file.
        steps: the most denoising steps.
        result_mib: of a RESULT, MiB; encoding ends where it is reached.
        message_mib: of one request, MiB.
        waiting: requests for one model that wait while others are at work.
        waiting_seconds: for which a client's request may wait before its next ones are refused.
        turn_seconds: for which a client may wait for its turn before all that would have to wait are refused.
        stage_mib: what a process that looks at files may take beyond what it begins with, MiB.
        accepted_mib: of all requests that wait or are at work together, MiB. One alone may be larger.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pixels: Annotated[int, Field(ge=64 * 64, le=MAX_PIXELS)] = MAX_PIXELS
    preset: Preset = "veryslow"
    crf: Annotated[int, Field(ge=0, le=51)] = 0
    steps: Annotated[int, Field(ge=1, le=100)] = 100
    result_mib: Annotated[int, Field(ge=1, le=2047)] = 256
    message_mib: Annotated[int, Field(ge=1, le=2047)] = 256
    waiting: Annotated[int, Field(ge=0, le=1000)] = 64
    waiting_seconds: Annotated[int, Field(ge=1, le=86400)] = 600
    turn_seconds: Annotated[int, Field(ge=1, le=86400)] = 300
    accepted_mib: Annotated[int, Field(ge=1, le=1 << 20)] = 512
    stage_mib: Annotated[int, Field(ge=1024, le=1 << 20)] = 3072

    @classmethod
    def of(cls, texts: Iterable[str] = ()) -> Limits:
        """Return the limits of the environment, under those of `texts`, each `NAME=VALUE`.

        Raises:
            SetupError: a name or a value that is none.
        """
        inherited = [text for text in os.environ.get(VARIABLE, "").split(",") if text.strip()]
        given: dict[str, str] = {}
        for text in (*inherited, *texts):
            match = re.fullmatch(r"\s*([a-z_]+)\s*=\s*(\w+)\s*", text)
            if match is None or match[1] not in cls.model_fields:
                raise SetupError(
                    f"{text!r} is no limit.", f"Give NAME=VALUE, of {', '.join(cls.model_fields)}."
                )
            given[match[1]] = match[2]
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise SetupError(
                f"The limit {first['loc'][0]}={first['input']} cannot be: {first['msg']}.",
                "Correct it, or leave it out for the default.",
            ) from error

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self)

    def check_options(self, asked: Options) -> None:
        """Raise LimitError if the requested encoding costs more than the server allows."""
        if _PRESETS.index(asked.preset) > _PRESETS.index(self.preset):
            raise _above(f"preset={asked.preset}", f"{self.preset} at the slowest", f"preset={self.preset}")
        if asked.crf < self.crf:
            raise _above(f"crf={asked.crf}", f"{self.crf} at the lowest", f"crf={self.crf}")

    def check_steps(self, steps: int) -> None:
        """Raise LimitError if the request has more denoising steps than the server allows."""
        if steps > self.steps:
            raise _above(f"steps={steps}", f"{self.steps} at the most", f"steps={self.steps}")

    def check_picture(self, info: VideoInfo) -> None:
        """Raise LimitError if the video's pictures are larger than the server allows."""
        if info.width * info.height > self.pixels:
            raise LimitError(
                f"The picture has {info.width}x{info.height} pixels; this server takes {self.pixels}.",
                "Send a smaller video.",
            )

    def result_too_large(self) -> LimitError:
        """Return the error of a RESULT that grows beyond its bytes."""
        return LimitError(
            f"The result is larger than the {self.result_mib} MiB that this server gives back.",
            "Ask for a higher crf, or send a shorter clip.",
        )


def _above(what: str, most: str, remedy: str) -> LimitError:
    return LimitError(f"{what} is beyond this server's limit: {most}.", f"Ask for {remedy}.")
