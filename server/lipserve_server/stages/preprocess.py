"""The first stage: decode once, follow the faces, cut their crops, read the speech."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from lipserve import audio as speech
from lipserve.align import Similarity
from lipserve.contracts import SAMPLE_RATE, WAV2LIP_SIZE
from lipserve.crops import Cropper
from lipserve.errors import NoFaceError
from lipserve.leaves import Leaves
from lipserve.media import decode
from lipserve.options import GenerateOptions, Options, parse
from lipserve.segments import AUDIO_MARGIN, source_frames, source_span
from lipserve.tracking import Tracker, blocks
from lipserve_server.metrics import Observer, SilentObserver
from lipserve_server.stages.plan import MAX_FRAMES, Plan, choose_span, describe

DECODER_THREADS = 1  # requests overlap, so a second thread for one of them only costs


class Preprocess:
    """Calls `face_detector` and `face_landmarks` for the source frames that a request needs."""

    def __init__(self, leaves: Leaves, observer: Observer | None = None, size: int = WAV2LIP_SIZE) -> None:
        self._leaves = leaves
        self._observer = observer or SilentObserver()
        self._size = size

    def __call__(self, video: bytes, audio: bytes, options: bytes | None = None) -> dict[str, Any]:
        """Return FACES and where they lie, SPEECH, GENERATE_OPTIONS and PLAN, as the contract says.

        Raises:
            InputError: options, video or speech that cannot be used; no face (NoFaceError) where the
                options ask for that.
        """
        started = time.time()
        asked = parse(Options, options).check("wav2lip")
        segment = asked.segment
        info = describe(video, segment)
        point = asked.point_in(info)
        samples = speech.load(audio, max_seconds=float(MAX_FRAMES / info.fps) + AUDIO_MARGIN + 1)
        span = choose_span(info, len(samples) / SAMPLE_RATE, asked)
        needed = source_span(span, info.frames, asked.on_length_mismatch)
        tracker = Tracker(self._leaves, info.fps, info.pixel_aspect, asked.face, point)
        cropper = Cropper(tracker, info, Similarity(self._size), needed.first)
        pictures = decode.read(video, info, needed.first, needed.frames, threads=DECODER_THREADS)
        for block in blocks(pictures, needed.first):
            self._observer.raise_if_cancelled()
            cropper.add(block)
        shown = source_frames(span, info.frames, asked.on_length_mismatch)
        rows = cropper.rows(shown - needed.first, span)
        counts = np.bincount(rows["FRAMES"] - span.first, minlength=span.frames)
        faceless = int((counts == 0).sum())
        if faceless == span.frames and asked.on_no_face == "error":
            raise NoFaceError(
                "No face was found in the video.",
                "Send a video that shows a face from the front, or ask for on_no_face=passthrough.",
            )
        plan = Plan(
            tier="wav2lip",
            options=asked,
            source=info,
            first_frame=span.first,
            frames=span.frames,
            faces=int(counts.max()),
            faceless_frames=faceless,
            detector_calls=tracker.detector_calls,
            warnings=list(info.warnings),
            preprocess_seconds=time.time() - started,
            finished_at=time.time(),
        )
        generate = GenerateOptions(
            fps=info.fps,
            first_sample=segment.first_sample if segment else 0,
            sync_offset_ms=asked.sync_offset_ms,
        )
        return {
            **rows,
            "SPEECH": samples,
            "GENERATE_OPTIONS": generate.model_dump_json().encode(),
            "PLAN": plan.model_dump_json(exclude_unset=True).encode(),
        }
