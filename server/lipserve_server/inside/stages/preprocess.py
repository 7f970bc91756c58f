"""First stage of every tier: decode, track faces, cut crops, read the speech."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from lipserve import audio as speech
from lipserve.contracts import SAMPLE_RATE
from lipserve.crops import Cropper
from lipserve.errors import NoFaceError
from lipserve.files.picture import VideoInfo
from lipserve.leaves import Leaves
from lipserve.media import decode
from lipserve.media.opening import OpenedVideo, opened
from lipserve.options import GenerateOptions, Options, parse
from lipserve.passages import merged, passages, told
from lipserve.quality.lips import Series
from lipserve.segments import Span, source_frames, source_span, spoken_frames
from lipserve.tiers import CropForm, Tier
from lipserve.tracking import Tracker, blocks
from lipserve_server.inside.limits import Limits
from lipserve_server.inside.metrics import Observer, SilentObserver
from lipserve_server.inside.signing import Signing
from lipserve_server.inside.stages.context import (
    RequestContext,
    check_resolution,
    choose_span,
    describe,
    driven_weights,
    total_frames,
)
from lipserve_server.inside.stages.measuring import Rows, before, how_to_judge, lips_of
from lipserve_server.inside.stages.request import Request

DECODER_THREADS = 1  # requests overlap, so a second thread for one of them only costs


class Preprocess:
    """Calls `face_detector` and `face_landmarks` for the source frames that a request needs.

    Args:
        crops: of the generator that sees them.
        hears: whether the networks that hear a speech are there, so that lips are compared with it.
        limits: the environment's where None.
    """

    def __init__(
        self,
        tier: Tier,
        leaves: Leaves,
        observer: Observer | None = None,
        crops: CropForm = CropForm(),  # noqa: B008 (a frozen value)
        hears: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self.leaves = leaves
        self._ears = leaves if hears else None
        self._limits = limits or Limits.of()
        self._signing = Signing.of()
        self._observer = observer or SilentObserver()
        self._tier = tier
        self._resolution = crops.resolution
        self._geometry = tier.geometry(crops)
        self._tracker = tier.tracker(crops)

    def __call__(self, video: bytes, audio: bytes, options: bytes | None = None) -> dict[str, Any]:
        """Return FACES and where they lie, SPEECH, GENERATE_OPTIONS and CONTEXT, as the contract says.

        Raises:
            InputError: options, video or speech that cannot be used; no face (NoFaceError) where the
                options ask for that.
        """
        with self.read(video, audio, options) as request:
            info, wanted = request.info, request.options
            tracker = self._tracker(
                self.leaves, info.fps, info.pixel_aspect, wanted.face, wanted.point_in(info)
            )
            cropper = Cropper(tracker, info, self._geometry, request.needed.first)
            return self.answer(request, tracker, cropper, lips_of)

    @contextmanager
    def read(self, video: bytes, audio: bytes, options: bytes | None) -> Iterator[Request]:
        """Open the video of a valid request, or raise InputError."""
        started = time.time()
        checked = self._tier.check(parse(Options, options))
        checked.check_known()
        check_resolution(checked.resolution, self._resolution)
        self._limits.check_options(checked)
        self._signing.check(checked)
        if "steps" in self._tier.own_options:
            self._limits.check_steps(checked.steps)
        with opened(video) as film:
            yield self._read(started, video, film, audio, checked)

    def _read(
        self, started: float, file: bytes, video: OpenedVideo, audio: bytes, options: Options
    ) -> Request:
        info = replace(describe(video, options.segment), matte=options.matte)
        self._limits.check_picture(info)
        options.point_in(info)
        longest = float(self._tier.max_frames / info.fps) + self._tier.speech_around
        seconds = min(longest, speech.MAX_SECONDS)
        faults: list[str] = []
        samples = speech.load(audio, track=options.audio_track, max_seconds=seconds, faults=faults)
        span = choose_span(info, len(samples) / SAMPLE_RATE, options, self._tier)
        total, mode = total_frames(options, span), options.on_length_mismatch
        needed = source_span(span, info.frames, mode, total)
        shown = source_frames(span, info.frames, mode, total)
        spoken = spoken_frames(info, len(samples) / SAMPLE_RATE, options.reference)
        weights = driven_weights(span, spoken, options)
        if mode == "silence" and options.segment is None:
            samples = speech.lengthened(samples, round(span.count / info.fps * SAMPLE_RATE))
        warnings = [*info.warnings, *speech.warnings(faults)]
        return Request(started, file, video, options, info, samples, span, needed, shown, weights, warnings)

    def answer(
        self, request: Request, tracker: Tracker, cropper: Cropper, measure: Callable[[Rows], Series]
    ) -> dict[str, Any]:
        """Follow the faces through the pictures, and return what the stage gives.

        Args:
            measure: returns the lip measures [N, 4] of rows.
        """
        info, span, needed = request.info, request.span, request.needed
        faults: list[str] = []
        pictures = decode.read(
            request.video, info, needed.first, needed.count, threads=DECODER_THREADS, faults=faults
        )
        for block in blocks(pictures, needed.first):
            self._observer.raise_if_cancelled()
            cropper.add(block)
        rows = request.driven(cropper.rows(request.shown - needed.first, span))
        context = self._context(request, rows, tracker, cropper, decode.warnings(faults))
        if self._ears is not None:
            context = before(self._ears, request.file, context, rows, measure(rows))
        if self._tier.paints:
            context = how_to_judge(self._ears, request.samples, context, rows)
        now = time.time()
        times = {"preprocess_seconds": now - request.started, "finished_at": now}
        return {
            **rows,
            "SPEECH": request.samples,
            "GENERATE_OPTIONS": self._generate_options(request.options, info, span)
            .model_dump_json()
            .encode(),
            "CONTEXT": context.model_copy(update=times).model_dump_json(exclude_unset=True).encode(),
        }

    def _context(
        self, request: Request, rows: Rows, tracker: Tracker, cropper: Cropper, faults: list[str]
    ) -> RequestContext:
        """Return what is known before anything is measured, or raise NoFaceError where that is asked for."""
        info, options, span = request.info, request.options, request.span
        counts = np.bincount(rows["FRAMES"] - span.first, minlength=span.count)
        asked, covered = request.weights > 0, cropper.covered & (request.weights > 0)
        others = cropper.somebody_else & asked
        faceless = int(((counts == 0) & asked & ~covered).sum())
        if faceless == asked.sum() and options.on_no_face == "error":
            raise NoFaceError(
                "No face was found in the video.",
                "Send a video that shows a face from the front, or set on_no_face=passthrough.",
            )
        gaps = merged(
            [
                *passages("no_face", (counts == 0) & asked & ~covered & ~others, span.first, info.fps),
                *passages("somebody_else", others, span.first, info.fps),
                *passages("covered", covered, span.first, info.fps),
            ]
        )
        return RequestContext(
            tier=self._tier.name,
            options=options,
            source=info,
            first_frame=span.first,
            frames=span.count,
            faces=int(counts.max()),
            faceless_frames=faceless,
            covered_frames=int(covered.sum()),
            driven_frames=int((counts > 0).sum()),
            passages=gaps,
            untouched_frames=int((~asked).sum()),
            detector_calls=tracker.detector_calls,
            warnings=[*request.warnings, *faults, *told(gaps)],
            preprocess_seconds=0,
            finished_at=0,
        )

    def _generate_options(self, options: Options, info: VideoInfo, span: Span) -> GenerateOptions:
        """Return the request's options for the tier's generate stage."""
        segment, kind = options.segment, self._tier.options
        values = {
            **{name: getattr(options, name) for name in ("sync_offset_ms", *self._tier.own_options)},
            "fps": info.fps,
            "first_sample": segment.first_sample if segment else 0,
            "first_frame": span.first,
            "frames": span.count,
            "total_samples": segment.total_samples if segment else None,
            "peak": segment.peak if segment else None,
        }
        return kind.model_validate({name: values[name] for name in kind.model_fields})
