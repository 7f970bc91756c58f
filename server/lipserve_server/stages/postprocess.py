"""The last stage: decode again, paste the generated faces, encode, and add the driving speech."""

from __future__ import annotations

import functools
import io
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipserve.errors import InputError
from lipserve.media import decode, encode
from lipserve.media.picture import Picture
from lipserve.options import parse
from lipserve.report import Report
from lipserve.segments import source_frames
from lipserve.tiers import TIERS, Painting
from lipserve_server.account import read_form, read_weights
from lipserve_server.metrics import Observer, SilentObserver
from lipserve_server.stages.plan import Plan

DECODER_THREADS = 1  # requests overlap, so more threads for one of them only cost
ENCODER_THREADS = 2  # x264 then works while the next picture is decoded and pasted, at no more CPU


@dataclass(frozen=True)
class _Rows:
    """The generated faces: [N, S, S, 3], [N, 2, 3], [N], and where each frame's begin in them [F + 1]."""

    geometry: Painting
    faces: NDArray[np.uint8]
    transforms: NDArray[np.float32]
    weights: NDArray[np.float32]
    edges: NDArray[np.int64]

    def paste(self, frame: int, picture: Picture) -> None:
        for row in range(self.edges[frame], self.edges[frame + 1]):
            self.geometry.paste(picture, self.faces[row], self.transforms[row], float(self.weights[row]))


class Postprocess:
    """Needs no model: reads the repository only for what it says of the generator's weights."""

    def __init__(self, repository: Path, observer: Observer | None = None) -> None:
        self._weights = {name: read_weights(repository, tier) for name, tier in TIERS.items()}
        resolution = read_form(repository).resolution
        ways = {name: tier.geometry(resolution) for name, tier in TIERS.items()}
        self._ways = {name: way for name, way in ways.items() if isinstance(way, Painting)}
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

        Raises:
            InputError: a plan or rows that preprocess cannot have given; video or speech that cannot be used.
        """
        started = time.time()
        todo = parse(Plan, plan)
        way = self._ways.get(todo.tier)
        if way is None:
            raise InputError(f"PLAN is of the tier {todo.tier}.", "Send it to that tier's own stage.")
        _check(faces, transforms, weights, frames, todo, way.size)
        edges = np.searchsorted(frames, np.arange(todo.first_frame, todo.span.stop + 1))
        rows = _Rows(way, faces, transforms, weights, edges)
        result = self._encode(video, rows, todo, None if todo.options.segment else audio)
        self._observer.frames(todo.frames, todo.frames / float(todo.source.fps))
        self._observer.faceless(todo.faceless_frames)
        return {"RESULT": result, "REPORT": self._report(todo, started).model_dump_json().encode()}

    def _encode(self, video: bytes, rows: _Rows, todo: Plan, audio: bytes | None) -> bytes:
        source, asked = todo.source, todo.options
        shown = source_frames(todo.span, source.frames, asked.on_length_mismatch)
        file = io.BytesIO()
        with encode.VideoWriter(
            file,
            source.width,
            source.height,
            source.fps,
            source.colour,
            source.pixel_aspect,
            crf=asked.crf,
            preset=asked.preset,
            threads=ENCODER_THREADS,
            audio=audio,
        ) as writer:
            for index, picture in enumerate(decode.read_order(video, source, shown, threads=DECODER_THREADS)):
                if index % 8 == 0:
                    self._observer.raise_if_cancelled()
                writer.write(picture, functools.partial(rows.paste, index))
        return file.getvalue()

    def _report(self, todo: Plan, started: float) -> Report:
        origin = self._weights[todo.tier]
        width, height = encode.encoded_size(todo.source.width, todo.source.height)
        return Report(
            tier=todo.tier,
            weights=origin,
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
            warnings=[*todo.warnings, *([TIERS[todo.tier].noise] if _random(origin) else [])],
        )


def _check(
    faces: NDArray[np.uint8],
    transforms: NDArray[np.float32],
    weights: NDArray[np.float32],
    frames: NDArray[np.int32],
    todo: Plan,
    side: int,
) -> None:
    """Raise InputError where the rows are not ones that can be pasted."""
    count, span = len(frames), todo.span
    shapes = (faces.shape, transforms.shape, weights.shape)
    fits = shapes == ((count, side, side, 3), (count, 2, 3), (count,))
    if not fits or (np.diff(frames) < 0).any() or ((frames < span.first) | (frames >= span.stop)).any():
        raise InputError(
            f"FACES {list(faces.shape)}, TRANSFORMS, WEIGHTS and FRAMES do not belong together.",
            f"Send a row for every face, {side} pixels square, sorted by frame, within the plan's frames.",
        )
    finite = np.isfinite(transforms).all() and (np.abs(weights) <= 1).all()
    if not finite or (np.abs(np.linalg.det(transforms[:, :, :2].astype(np.float64))) < 1e-9).any():
        raise InputError("TRANSFORMS or WEIGHTS cannot be pasted with.", "Send what preprocess returned.")


def _random(origin: str) -> bool:
    return any(part.startswith("random") for part in origin.split("; "))
