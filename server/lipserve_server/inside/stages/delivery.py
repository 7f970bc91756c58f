"""Last step of every tier: decode again, replace pixels, encode, add the sound."""

from __future__ import annotations

import functools
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipserve.errors import InputError
from lipserve.files.picture import Picture
from lipserve.media import decode, encode
from lipserve.media.mark import Mark
from lipserve.quality.sample import Sampler
from lipserve.report import Report
from lipserve.tiers import TIERS
from lipserve_server.inside.limits import MIB, Limits
from lipserve_server.inside.metrics import Observer, SilentObserver
from lipserve_server.inside.signing import Signing
from lipserve_server.inside.stages.context import RequestContext
from lipserve_server.inside.stages.measuring import quality
from lipserve_server.repository.engines import served_profile
from lipserve_server.repository.manifest import read_weights

DECODER_THREADS = 1  # requests overlap, so more threads for one of them only cost
ENCODER_THREADS = 2  # x264 then works while the next picture is decoded and pasted, at no more CPU

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Paste = Callable[[int, Picture], None]
"""Changes, in place, the picture that output frame `index` of the request shows."""


class _Bounded(io.BytesIO):
    """A RESULT in the making, which fails where it grows beyond the server's limit."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits

    def write(self, data: ReadableBuffer, /) -> int:
        if self.tell() + memoryview(data).nbytes > self._limits.result_mib * MIB:
            raise self._limits.result_too_large()
        return super().write(data)


class Delivery:
    """Needs no model: reads the repository only for what it says of the weights.

    Args:
        limits: the environment's where None.
    """

    def __init__(
        self, repository: Path, observer: Observer | None = None, limits: Limits | None = None
    ) -> None:
        self._limits = limits or Limits.of()
        self._signing = Signing.of()
        profile = served_profile(os.getppid())
        self._weights = {name: read_weights(repository, tier, profile) for name, tier in TIERS.items()}
        self._observer = observer or SilentObserver()

    def __call__(
        self,
        video: bytes,
        audio: bytes,
        request: RequestContext,
        paste: Paste,
        edges: NDArray[np.int64],
        started: float,
        sampler: Sampler | None = None,
    ) -> dict[str, bytes]:
        """Return RESULT, an MP4 (of a segment: without audio), and REPORT.

        Args:
            edges: of the rows that `paste` has for each frame, as `edges_of` gives them.
            sampler: has looked at the mouths, once `paste` was called for every picture.

        Raises:
            LimitError: the request or the result is beyond what the server allows.
            ConsentError, ProvenanceError: it has no record of consent, or cannot be signed.
            CancelledError: nobody waits.
        """
        self._limits.check_options(request.options)
        self._signing.check(request.options)
        self._limits.check_picture(request.source)
        result = self._encode(video, paste, request, None if request.options.segment else audio)
        report = self._report(request, edges, started, sampler)
        if request.options.segment is None:
            result = self._signing.sign(result, report, video, audio, request.options.consent)
        self._observer.frames(request.frames, request.frames / float(request.source.fps))
        self._observer.faceless(request.faceless_frames)
        self._observer.covered(request.covered_frames)
        return {"RESULT": result, "REPORT": report.model_dump_json().encode()}

    def _encode(self, video: bytes, paste: Paste, request: RequestContext, audio: bytes | None) -> bytes:
        source, options = request.source, request.options
        file = _Bounded(self._limits)
        mark = Mark.of(options.mark, source.width, source.height)
        with encode.VideoWriter(
            file,
            source.width,
            source.height,
            source.fps,
            source.colour,
            source.pixel_aspect,
            crf=options.crf,
            preset=options.preset,
            threads=ENCODER_THREADS,
            parameter_set=options.segment.parameter_set if options.segment else 0,
            audio=audio,
            audio_track=options.audio_track,
        ) as writer:
            for index, picture in enumerate(
                decode.read_order(video, source, request.shown, threads=DECODER_THREADS)
            ):
                self._observer.raise_if_cancelled()  # a large picture takes a slow preset seconds
                writer.write(picture, functools.partial(_edit, paste, mark, index))
        return file.getvalue()

    def _report(
        self, request: RequestContext, edges: NDArray[np.int64], started: float, sampler: Sampler | None
    ) -> Report:
        origin = self._weights[request.tier]
        width, height = encode.encoded_size(request.source.width, request.source.height)
        return Report(
            tier=request.tier,
            weights=origin,
            width=width,
            height=height,
            fps=float(request.source.fps),
            frames=request.frames,
            seconds=float(request.frames / request.source.fps),
            faces=request.faces,
            faceless_frames=request.faceless_frames,
            covered_frames=request.covered_frames,
            driven_frames=request.driven_frames,
            passages=request.passages,
            quality=quality(sampler, request),
            untouched_frames=request.untouched_frames,
            invisible_mark=request.options.invisible_mark if request.driven_frames else None,
            driven=_driven(np.diff(edges) > 0, request.first_frame),
            detector_calls=request.detector_calls,
            stage_seconds={
                "preprocess": round(request.preprocess_seconds, 4),
                "generate": round(started - request.finished_at, 4),
                "postprocess": round(time.time() - started, 4),
            },
            warnings=[*request.warnings, *([TIERS[request.tier].noise] if _random(origin) else [])],
        )


def _edit(paste: Paste, mark: Mark | None, index: int, picture: Picture) -> None:
    paste(index, picture)
    if mark is not None:
        mark.draw(picture)


def edges_of(frames: NDArray[np.int32], request: RequestContext) -> NDArray[np.int64]:
    """Return where each output frame's rows begin in rows that are sorted by frame, int64 [F + 1].

    Raises:
        InputError: they are not sorted, or lie outside the request's frames.
    """
    span = request.span
    if (np.diff(frames) < 0).any() or ((frames < span.first) | (frames >= span.stop)).any():
        raise InputError(
            "FRAMES are not sorted, or lie outside the request.",
            "Send one row for every face, sorted by frame.",
        )
    return np.searchsorted(frames, np.arange(span.first, span.stop + 1))


def _driven(frames: NDArray[np.bool_], begin: int) -> list[tuple[int, int]]:
    """Return the stretches of driven frames [F], whose first is frame `begin` of the clip."""
    borders = np.flatnonzero(np.diff(np.concatenate([[False], frames, [False]]))) + begin
    return [(int(first), int(stop) - 1) for first, stop in borders.reshape(-1, 2)]


def check_places(transforms: NDArray[np.float32], weights: NDArray[np.float32], count: int) -> None:
    """Raise InputError where TRANSFORMS and WEIGHTS are no places of `count` rows that can be pasted at."""
    fits = (transforms.shape, weights.shape) == ((count, 2, 3), (count,))
    finite = fits and np.isfinite(transforms).all() and (np.abs(weights) <= 1).all()
    if not finite or (np.abs(np.linalg.det(transforms[:, :, :2].astype(np.float64))) < 1e-9).any():
        raise InputError(
            "TRANSFORMS or WEIGHTS contain values with which no face can be pasted.",
            "Send the output of the preprocess stage.",
        )


def _random(origin: str) -> bool:
    return any(part.startswith("random") for part in origin.split("; "))
