"""One speech on a video, and its requests: validated first, each cut when it is sent. No network here."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from lipserve import audio as speech
from lipserve import segments
from lipserve.contracts import SAMPLE_RATE, TierName
from lipserve.errors import OptionsError
from lipserve.files.picture import MediaSource, VideoInfo
from lipserve.files.source import content
from lipserve.options import Options, Segment, parse
from lipserve.quality import own_sound
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
        text = json.dumps({**given, **overrides}, default=_fields)
    except (TypeError, ValueError) as error:
        raise OptionsError(
            f"The value of an option is not a text or a number ({error}).", "Give a text or a number."
        ) from None
    return wanted.check(parse(Options, text))


def _fields(value: Any) -> Any:
    """Return the fields of a value that is a group of options by itself, for JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    raise TypeError(f"{type(value).__name__} is not JSON")


class Clip:
    """One video and one speech, as one request or several.

    Args:
        video, audio: files or their bytes; refused with a typed error where they cannot be served. A Film:
            its video.
        source: a SOURCE that was kept; refused where it is another video's, or of other faces than `options`
            name. Where they name none, it is the SOURCE that says which.
        begin: where the speech begins, seconds after the clip's first frame; below 0: so much of it has gone
            by. None: with the clip, which lasts as `on_length_mismatch` says.
        frames: output frames of the clip, where `begin` is given.
        hasty: divide it so that its beginning is soon there.

    Attributes:
        frames: output frames of the clip. spoken: of these, those up to the end of the speech.
        spans: the segments; `whole` where the one request carries the files as they are, and its answer
            is the result, sound and all.
        source: what every request carries; None: none has one.
    """

    def __init__(
        self,
        video: MediaSource | Film,
        audio: MediaSource,
        options: Options,
        tier: TierName,
        source: MediaSource | None = None,
        begin: float | None = None,
        frames: int = 0,
        hasty: bool = False,
    ) -> None:
        self._audio, self._tier = audio, named(tier)
        self.options = options
        self.film = video if isinstance(video, Film) else Film(video, options.matte)
        self.info: VideoInfo = self.film.info
        self.source: bytes | None = None
        self.parameter_set = 0
        if source is not None:
            self._take(source)
        faults: list[str] = []
        self._speech: NDArray[np.float32] = speech.spool(
            audio, tempfile.gettempdir(), track=options.audio_track, faults=faults
        )
        # What a segment brings of the speech is whole: its report learns from here that the file was not.
        self.info = replace(self.info, warnings=(*self.info.warnings, *speech.warnings(faults)))
        self._placed, self._hasty = begin is not None, hasty
        self._shift = round((begin or 0.0) * SAMPLE_RATE)
        seconds = (self._shift + len(self._speech)) / SAMPLE_RATE
        self.frames = frames or segments.output_frames(
            self.info, seconds, options.on_length_mismatch, options.reference
        )
        self.spoken = min(self.frames, segments.spoken_frames(self.info, seconds, options.reference))
        self.fades: list[tuple[bool, bool]] = []
        self.spans: list[segments.Span] = []
        closed = begin is not None or options.on_length_mismatch == "silence"
        self.drive([segments.Span(0, self.frames if closed else self.spoken)])
        # Where it needs most of the video, cutting that gains nothing.
        self.whole = (
            begin is None
            and not hasty
            and len(self.spans) == 1
            and self.spoken == self.frames
            and 2 * self.needed.count >= self.info.frames
            and seconds <= self.frames / self.info.fps + 1  # else most of the speech is cut off
        )

    @property
    def speech_seconds(self) -> float:
        """Length of the speech."""
        return len(self._speech) / SAMPLE_RATE

    def drive(self, stretches: list[segments.Span]) -> None:
        """Plan the segments of what is to be driven: stretches of output frames, in order, apart."""
        self.whole, self.spans, self.fades = False, [], []
        size = self.info.width, self.info.height
        for stretch in stretches:
            length = self._tier.segment
            spans = segments.plan(stretch.count, self.info.fps, *size, length, stretch.first)
            if self._hasty and not self.spans:
                spans = segments.hastened(spans)
            self.spans += spans
            self.fades += [
                (span.first == stretch.first > 0, span.stop == stretch.stop < self.frames) for span in spans
            ]

    @property
    def needed(self) -> segments.Span:
        """The source frames that the driven frames depend on."""
        first = min(span.first for span in self.spans)
        return self._shown(segments.Span(first, max(span.stop for span in self.spans) - first))

    @cached_property
    def _of_whole_speech(self) -> dict[str, Any]:
        if not self._tier.whole_speech:
            return {}
        return {"total_samples": self._samples, "peak": speech.whisper_peak(self._speech)}

    @property
    def _samples(self) -> int:
        """Length of the speech on the clip's time, with what comes before it, and with `silence` after it."""
        spoken = self._shift + len(self._speech)
        lasting = round(self.frames / self.info.fps * SAMPLE_RATE)
        padded = self._placed or self.options.on_length_mismatch == "silence"
        return max(spoken, lasting) if padded else spoken

    def _heard(self, span: segments.Span) -> NDArray[np.float32]:
        """Return the samples of a stretch of the clip's time; around the speech there is silence."""
        first, stop = span.first - self._shift, span.stop - self._shift
        part = self._speech[max(0, first) : max(0, stop)]
        before = min(span.count, max(0, -first))
        return np.pad(part, (before, span.count - before - len(part)))

    @property
    def unprepared(self) -> bool:
        """Whether a SOURCE must be prepared first: several requests share one, a single one makes its own."""
        return self._tier.prepares and self.source is None and len(self.spans) > 1

    @property
    def tier(self) -> TierName:
        return self._tier.name

    def request(self, index: int, passthrough: bool = False, lossless: bool = False) -> Call:
        """Cut segment `index` and return its call.

        Args:
            passthrough: give the segment back unchanged where it shows no face, whatever the options say.
            lossless: encode it so that its samples are exact, and without a mark, whatever the options say.
        """
        if self.whole:
            video, audio, options = content(self.film.file), content(self._audio), self.options
        else:
            video, audio, options = self._cut(index)
        if passthrough:
            options = options.model_copy(update={"on_no_face": "passthrough"})
        if lossless:
            options = options.model_copy(update={"crf": 0, "preset": "ultrafast", "mark": None})
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
        return segments.source_span(span, self.info.frames, self.options.on_length_mismatch, self.frames)

    def _own_sound(self, span: segments.Span) -> segments.Span | None:
        """Return the source frames whose own sound a segment brings, so that lips before it can be judged."""
        if not own_sound.worth(span.count, self.info, self._tier.paints):
            return None
        mode, available = self.options.on_length_mismatch, self.info.frames
        return own_sound.heard(segments.source_frames(span, available, mode, self.frames), self.info)

    def _cut(self, index: int) -> tuple[bytes, bytes, Options]:
        span, (fade_in, fade_out) = self.spans[index], self.fades[index]
        stretch = self._tier.speech_span(span, self.info.fps, self._samples, self.options)
        segment = Segment(
            index=index,
            count=len(self.spans),
            first_frame=span.first,
            frames=span.count,
            first_sample=stretch.first,
            **self._of_whole_speech,
            source=self.info,
            total_frames=self.frames,
            fade_in=fade_in,
            fade_out=fade_out,
            parameter_set=self.parameter_set,
        )
        fields = self.options.model_dump(exclude_unset=True, exclude={"audio_track"})  # it has one track
        options = Options(**{**fields, "segment": segment})
        return (
            self.film.cut(self._shown(span), self._own_sound(span)),
            speech.wav(self._heard(stretch)),
            options,
        )
