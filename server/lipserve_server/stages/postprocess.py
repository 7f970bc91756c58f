"""The last stage: decode again, paste the generated faces, encode, and add the driving speech."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve import align
from lipserve.media import decode, encode
from lipserve.media.picture import Picture
from lipserve.report import Report
from lipserve.segments import source_frames
from lipserve_server.metrics import Observer, SilentObserver
from lipserve_server.stages.plan import Plan, read_weights

DECODER_THREADS = 1  # requests overlap, so more threads for one of them only cost
ENCODER_THREADS = 1


class Postprocess:
    """Needs no model: reads the repository only for what it says of the generator's weights."""

    def __init__(self, repository: Path, observer: Observer | None = None) -> None:
        self._weights = read_weights(repository, "wav2lip_generator")
        self._observer = observer or SilentObserver()

    def __call__(
        self,
        video: bytes,
        audio: bytes,
        faces: NDArray[np.uint8],
        transforms: NDArray[np.float32],
        weights: NDArray[np.float32],
        frames: NDArray[np.int32],
        plan: bytes,
    ) -> dict[str, bytes]:
        """Return RESULT, an MP4 (of a segment: without audio), and REPORT, as the contract says.

        Args:
            faces: uint8 [N, S, S, 3] RGB, sorted by frame.
            transforms, weights, frames: [N, 2, 3], [N] and [N], as preprocess gave them.
        """
        started = time.time()
        todo = Plan.model_validate_json(plan)
        pictures = self._pictures(video, faces, transforms, weights, frames, todo)
        result = _encode(pictures, todo, None if todo.options.segment else audio)
        return {"RESULT": result, "REPORT": self._report(todo, started).model_dump_json().encode()}

    def _pictures(self, video: bytes, *rows_and_plan: Any) -> Iterator[Picture]:
        """Give the pictures of the result in order."""
        faces, transforms, weights, frames, todo = rows_and_plan
        span = todo.span
        shown = source_frames(span, todo.source.frames, todo.options.on_length_mismatch)
        rows = np.searchsorted(frames, np.arange(span.first, span.stop + 1))
        pictures = decode.read_order(video, todo.source, shown, threads=DECODER_THREADS)
        for index, picture in enumerate(pictures):
            if index % 8 == 0:
                self._observer.raise_if_cancelled()
            for row in range(rows[index], rows[index + 1]):
                picture = align.paste(picture, faces[row], transforms[row], float(weights[row]))
            yield picture

    def _report(self, todo: Plan, started: float) -> Report:
        width, height = encode.encoded_size(todo.source.width, todo.source.height)
        return Report(
            tier=todo.tier,
            weights=self._weights,
            width=width,
            height=height,
            fps=float(todo.source.fps),
            frames=todo.frames,
            seconds=float(todo.frames / todo.source.fps),
            faces=todo.faces,
            faceless_frames=todo.faceless_frames,
            detector_calls=todo.detector_calls,
            stage_seconds={
                "preprocess": round(todo.preprocess_seconds, 4),
                "generate": round(started - todo.finished_at, 4),
                "postprocess": round(time.time() - started, 4),
            },
            warnings=todo.warnings,
        )


def _encode(pictures: Iterator[Picture], todo: Plan, audio: bytes | None) -> bytes:
    source = todo.source
    file = io.BytesIO()
    with encode.VideoWriter(
        file,
        source.width,
        source.height,
        source.fps,
        source.colour,
        source.pixel_aspect,
        crf=todo.options.crf,
        preset=todo.options.preset,
        threads=ENCODER_THREADS,
        audio=audio,
    ) as writer:
        for picture in pictures:
            writer.write(picture)
    return file.getvalue()
