"""A clip and the requests that it becomes: validated first, then cut as each is wanted. No network here."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve import audio as speech_of
from lipserve import segments
from lipserve.contracts import SAMPLE_RATE, TierName
from lipserve.errors import OptionsError
from lipserve.media import cut, probe
from lipserve.media.picture import MediaSource, VideoInfo
from lipserve.options import Options, Segment, parse
from lipserve.tiers import named
from lipserve_client._transports import Call, Expected

REPORT_BYTES = 1 << 14
_PIXELS_PER_BYTE = 32  # x264 CRF 18 takes about a quarter of a bit for each pixel of a talking head
_RESULT_FLOOR = 1 << 20  # bytes


def merge_options(options: Options | None, overrides: Mapping[str, Any], tier: TierName) -> Options:
    """Return `options` with `overrides`, checked for `tier`; raise OptionsError where they make no sense."""
    wanted = named(tier)
    given = options.model_dump(mode="json", exclude_unset=True) if options else {}
    try:
        text = json.dumps({**given, **overrides})
    except (TypeError, ValueError) as error:
        raise OptionsError(
            f"An option's value is no plain value ({error}).", "Use texts and numbers."
        ) from None
    return wanted.check(parse(Options, text))


class Clip:
    """One video and one speech, as one request or several.

    Args:
        video, audio: files or their bytes; refused with a typed error where they cannot be served.

    Attributes:
        frames: of the result.
        spans: the segments; `whole` where the one request carries the files as they are, and its answer
            is the result, sound and all.
    """

    def __init__(self, video: MediaSource, audio: MediaSource, options: Options, tier: TierName) -> None:
        self._video, self._audio, self._tier = video, audio, named(tier)
        self.options = options
        self._index = probe.scan(video)
        self.info: VideoInfo = probe.probe(video, self._index)
        self._speech: NDArray[np.float32] = speech_of.spool(audio, tempfile.gettempdir())
        seconds = len(self._speech) / SAMPLE_RATE
        self.frames = segments.output_frames(
            self.info, seconds, options.on_length_mismatch, options.reference
        )
        size = self.info.width, self.info.height
        self.spans = segments.plan(self.frames, self.info.fps, *size, self._tier.segment)
        self.whole = len(self.spans) == 1 and self._needs_most(self.spans[0])
        if seconds > self.frames / self.info.fps + 1:
            self.whole = False  # most of the speech is cut off: it need not travel
        self._of_whole_speech: dict[str, Any] = {}
        if self._tier.whole_speech and not self.whole:
            self._of_whole_speech = {
                "total_samples": len(self._speech),
                "peak": speech_of.whisper_peak(self._speech),
            }

    def request(self, index: int, passthrough: bool = False) -> Call:
        """Return the call of segment `index`, cut now.

        Args:
            passthrough: give the segment back unchanged where it shows no face, whatever the options say.
        """
        if self.whole:
            video, audio, options = _content(self._video), _content(self._audio), self.options
        else:
            video, audio, options = self._cut(index)
        if passthrough:
            options = options.model_copy(update={"on_no_face": "passthrough"})
        size = (
            _RESULT_FLOOR + self.spans[index].frames * self.info.width * self.info.height // _PIXELS_PER_BYTE
        )
        return Call(
            self._tier.name,
            inputs={
                "VIDEO": video,
                "AUDIO": audio,
                "OPTIONS": options.model_dump_json(exclude_unset=True).encode(),
            },
            outputs={"RESULT": Expected(size=size), "REPORT": Expected(size=REPORT_BYTES)},
        )

    def _needs_most(self, span: segments.Span) -> bool:
        """Whether a segment needs at least half of the video: then cutting it gains nothing."""
        source = segments.source_span(span, self.info.frames, self.options.on_length_mismatch)
        return 2 * source.frames >= self.info.frames

    def _cut(self, index: int) -> tuple[bytes, bytes, Options]:
        span = self.spans[index]
        source = segments.source_span(span, self.info.frames, self.options.on_length_mismatch)
        heard = self._tier.heard(span, self.info.fps, len(self._speech), self.options)
        segment = Segment(
            index=index,
            count=len(self.spans),
            first_frame=span.first,
            frames=span.frames,
            first_sample=heard.first,
            **self._of_whole_speech,
            source=self.info,
        )
        options = self.options.model_copy(update={"segment": segment})
        video = cut.cut(self._video, self._index, self.info, source.first, source.frames)
        return video, speech_of.wav(self._speech[heard.first : heard.stop]), options


def _content(source: MediaSource) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()
