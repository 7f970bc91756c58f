"""Check stage of `lipwarp`: measure every face of a video, and how its lips agree with a speech.

It measures any video, whoever made it. A long one is measured piece by piece; `lipserve.quality.clip` joins
the answers. The answer (`lipserve.quality.measures.Measures`) gives, of the frames of the piece:

- the cuts, where the picture changes suddenly, so that shots are known;
- a run for each face and each time that it is seen without a break within one shot: the number of the track,
  the box in every frame, four lip measures in every frame, the opening of the inner lips, sharpness, flicker;
- the four lip measures that the speech asks for in every frame, so that the agreement of any face, over any
  time, at any offset, can be computed by the receiver: which face speaks is asked of the same numbers;
- the frames in which the speech is silent.

Faces are followed by place within a piece. The stage knows nobody by looks: who is who in two shots, or two
pieces, is for the receiver to tell.
"""

from __future__ import annotations

from lipserve import audio as speech
from lipserve.errors import LimitError, OptionsError
from lipserve.files.picture import VideoInfo
from lipserve.leaves import Leaves
from lipserve.media import decode, probe
from lipserve.media.opening import opened
from lipserve.options import CheckOptions, parse
from lipserve.quality.measures import MAX_CHECKED_FRAMES
from lipserve.quality.watch import Speech, measure
from lipserve.segments import Span
from lipserve_server.inside.limits import Limits
from lipserve_server.inside.stages.preprocess import DECODER_THREADS

_AROUND = 40.0  # seconds of speech beyond the frames: blocks of 8 s, and the largest lag


class LipwarpCheck:
    """Calls the two face models for the pictures, `speech_encoder` and `lip_motion` for the speech.

    Args:
        limits: the environment's where None.
    """

    def __init__(self, leaves: Leaves, limits: Limits | None = None) -> None:
        self._leaves = leaves
        self._limits = limits or Limits.of()

    def __call__(
        self, video: bytes, audio: bytes | None = None, options: bytes | None = None
    ) -> dict[str, bytes]:
        """Return MEASURES, JSON.

        Args:
            audio: the speech, or what `samples_span` names of it; None: lips are compared with nothing.

        Raises:
            InputError: options, video or speech that cannot be used; more frames than one request may have
                (LimitError).
        """
        settings = parse(CheckOptions, options)
        with opened(video) as film:
            info = settings.source or probe.probe(film)
            self._limits.check_picture(info)
            span = _span(settings, info)
            spoken = _speech(audio, settings, info, span) if audio else None
            pictures = decode.read(film, info, span.first, span.count, threads=DECODER_THREADS)
            measures = measure(self._leaves, pictures, info, span, spoken, settings.invisible_mark)
        return {"MEASURES": measures.model_dump_json().encode()}


def _span(settings: CheckOptions, info: VideoInfo) -> Span:
    if settings.first >= info.frames:
        raise OptionsError(
            f"first={settings.first} is beyond the video's {info.frames} frames.", "Name frames of the video."
        )
    left = info.frames - settings.first
    count = min(left, settings.frames or left)
    if count > MAX_CHECKED_FRAMES:
        raise LimitError(
            f"The piece has {count} frames; one request measures at most {MAX_CHECKED_FRAMES}.",
            "Use the lipserve client, which sends a long video piece by piece.",
        )
    return Span(settings.first, count)


def _speech(audio: bytes, settings: CheckOptions, info: VideoInfo, span: Span) -> Speech:
    seconds = min(speech.MAX_SECONDS, float(span.stop / info.fps) + _AROUND)
    samples = speech.load(audio, max_seconds=seconds)
    total = settings.total_samples or settings.first_sample + len(samples)
    peak = speech.whisper_peak(samples) if settings.peak is None else settings.peak
    return Speech(samples, settings.first_sample, total, peak)
