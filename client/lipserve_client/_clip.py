"""A clip and its requests: validated first, each cut when it is sent. No network here."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve import audio as speech
from lipserve import segments
from lipserve.contracts import SAMPLE_RATE, TierName
from lipserve.errors import OptionsError
from lipserve.files.picture import MediaSource, VideoInfo
from lipserve.files.source import content
from lipserve.options import Options, Segment, parse
from lipserve.tiers import TIERS, named
from lipserve_client._answer import ResultForm
from lipserve_client._film import Film
from lipserve_client._prepare import kept
from lipserve_client._transports import Call, Expected
from lipserve_client._transports.base import Value

REPORT_BYTES = 1 << 14
_PIXELS_PER_BYTE = 32  # x264 CRF 18 takes about a quarter of a bit for each pixel of a talking head
_RESULT_FLOOR = 1 << 20  # bytes


def merge_options(options: Options | None, overrides: Mapping[str, Any], tier: TierName) -> Options:
    """Return `options` with `overrides`, validated for `tier`; OptionsError if they are invalid."""
    wanted = named(tier)
    given = options.model_dump(mode="json", exclude_unset=True) if options else {}
    try:
        text = json.dumps({**given, **overrides})
    except (TypeError, ValueError) as error:
        raise OptionsError(
            f"The value of an option is not a text or a number ({error}).", "Give a text or a number."
        ) from None
    return wanted.check(parse(Options, text))


class Clip:
    """One video and one speech, as one request or several.

    Args:
        video, audio: files or their bytes; refused with a typed error where they cannot be served.
        source: a SOURCE that was kept; refused where it is another video's, or of other faces than `options`
            name. Where they name none, it is the SOURCE that says which.

    Attributes:
        frames: of the result.
        spans: the segments; `whole` where the one request carries the files as they are, and its answer
            is the result, sound and all.
        needed: the source frames that the result depends on.
        source: what every request carries; None: none has one.
    """

    def __init__(
        self,
        video: MediaSource,
        audio: MediaSource,
        options: Options,
        tier: TierName,
        source: MediaSource | None = None,
    ) -> None:
        self._audio, self._tier = audio, named(tier)
        self.options = options
        self.film = Film(video, options.background)
        self.info: VideoInfo = self.film.info
        self.source: bytes | None = None
        if source is not None:
            self._take(source)
        faults: list[str] = []
        self._speech: NDArray[np.float32] = speech.spool(
            audio, tempfile.gettempdir(), track=options.audio_track, faults=faults
        )
        # What a segment brings of the speech is whole: its report learns from here that the file was not.
        self.info = replace(self.info, warnings=(*self.info.warnings, *speech.warnings(faults)))
        seconds = len(self._speech) / SAMPLE_RATE
        self.frames = segments.output_frames(
            self.info, seconds, options.on_length_mismatch, options.reference
        )
        size = self.info.width, self.info.height
        self.spans = segments.plan(self.frames, self.info.fps, *size, self._tier.segment)
        self.needed = self._shown(segments.Span(0, self.frames))
        # Where it needs most of the video, cutting that gains nothing.
        self.whole = len(self.spans) == 1 and 2 * self.needed.count >= self.info.frames
        if seconds > self.frames / self.info.fps + 1:
            self.whole = False  # most of the speech is cut off: it need not travel
        self._of_whole_speech: dict[str, Any] = {}
        if self._tier.whole_speech and not self.whole:
            self._of_whole_speech = {
                "total_samples": len(self._speech),
                "peak": speech.whisper_peak(self._speech),
            }

    @property
    def unprepared(self) -> bool:
        """Whether a SOURCE must be prepared first: several requests share one, a single one makes its own."""
        return self._tier.prepares and self.source is None and len(self.spans) > 1

    def request(self, index: int, passthrough: bool = False) -> Call:
        """Cut segment `index` and return its call.

        Args:
            passthrough: give the segment back unchanged where it shows no face, whatever the options say.
        """
        if self.whole:
            video, audio, options = content(self.film.file), content(self._audio), self.options
        else:
            video, audio, options = self._cut(index)
        if passthrough:
            options = options.model_copy(update={"on_no_face": "passthrough"})
        size = (
            _RESULT_FLOOR + self.spans[index].count * self.info.width * self.info.height // _PIXELS_PER_BYTE
        )
        inputs: dict[str, Value] = {
            "VIDEO": video,
            "AUDIO": audio,
            "OPTIONS": options.model_dump_json(exclude_unset=True).encode(),
        }
        if self.source is not None:
            inputs["SOURCE"] = self.source
        outputs = {"RESULT": Expected(size=size), "REPORT": Expected(size=REPORT_BYTES)}
        return Call(self._tier.name, inputs, outputs)

    def result_form(self, index: int) -> ResultForm:
        """Return the properties that the answer to segment `index` must have."""
        info = self.info
        frames = self.spans[index].count
        return ResultForm(self._tier.name, info.width, info.height, info.fps, frames, sound=self.whole)

    def _take(self, source: MediaSource) -> None:
        if not self._tier.prepares:
            others = " or ".join(tier.name for tier in TIERS.values() if tier.prepares)
            raise OptionsError(
                f"The tier {self._tier.name} does not use a SOURCE.",
                f"Leave it out, or use the tier {others}.",
            )
        face = self.options.face if "face" in self.options.model_fields_set else None
        prepared = kept(source, self.film, face)
        self.source = prepared.data
        self.options = self.options.model_copy(update={"face": prepared.source.face})

    def _shown(self, span: segments.Span) -> segments.Span:
        return segments.source_span(span, self.info.frames, self.options.on_length_mismatch)

    def _cut(self, index: int) -> tuple[bytes, bytes, Options]:
        span = self.spans[index]
        stretch = self._tier.speech_span(span, self.info.fps, len(self._speech), self.options)
        segment = Segment(
            index=index,
            count=len(self.spans),
            first_frame=span.first,
            frames=span.count,
            first_sample=stretch.first,
            **self._of_whole_speech,
            source=self.info,
        )
        fields = self.options.model_dump(exclude_unset=True, exclude={"audio_track"})  # it has one track
        options = Options(**{**fields, "segment": segment})
        return (
            self.film.cut(self._shown(span)),
            speech.wav(self._speech[stretch.first : stretch.stop]),
            options,
        )
