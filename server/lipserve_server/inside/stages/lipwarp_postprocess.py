"""Last stage of `lipwarp`: move the pixels of the source pictures, then deliver."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve.errors import InputError
from lipserve.files.picture import Picture
from lipserve.invisible_mark.draw import InvisibleMark
from lipserve.leaves import Leaves
from lipserve.lipwarp.compose import Motion, move
from lipserve.lipwarp.source import Source, from_bytes
from lipserve.options import parse
from lipserve.quality.mouths import Mouths, Rhythm
from lipserve.quality.sample import Sampler
from lipserve_server.inside.metrics import Observer
from lipserve_server.inside.stages.context import MAX_CONTEXT, RequestContext
from lipserve_server.inside.stages.delivery import Delivery, check_places, edges_of

_OF_A_ROW = ("FLOW", "BLEND", "PAINT", "MEMORIES", "SHARES", "OFFSETS", "ASKED", "QUIET", "TRACKS")
_INFINITE = np.uint16(0x7C00)  # the exponent of half precision, of what is not finite
_FAR = 100.0  # eye distances: no lips are asked to go so far


@dataclass(frozen=True)
class _Rows:
    """The output of the generate stage, places and times of its rows, and each frame's first row [F + 1]."""

    source: Source
    motion: dict[str, NDArray[Any]]
    transforms: NDArray[np.float32]
    weights: NDArray[np.float32]
    edges: NDArray[np.int64]
    sampler: Sampler
    mark: InvisibleMark | None
    seconds: NDArray[np.float64]

    def move(self, frame: int, picture: Picture) -> None:
        for row in range(self.edges[frame], self.edges[frame + 1]):
            self.sampler.watch(row, picture, partial(self._change, row, picture))

    def _change(self, row: int, picture: Picture) -> None:
        place, weight = self.transforms[row], float(self.weights[row])
        move(picture, self._of(row), place, weight)
        if self.mark is not None:
            self.mark.draw(picture, place, float(self.seconds[row]), weight)

    def _of(self, row: int) -> Motion:
        given = {name: self.motion[name][row] for name in _OF_A_ROW}
        return Motion.of(given, self.source.people[given["TRACKS"]].patches)


class LipwarpPostprocess:
    """Calls `face_landmarks` for a sample of what it made; of the repository it reads the weights' origin."""

    def __init__(self, repository: Path, leaves: Leaves, observer: Observer | None = None) -> None:
        self._leaves = leaves
        self._deliver = Delivery(repository, observer)

    def __call__(
        self,
        video: bytes,
        audio: bytes,
        motion: dict[str, NDArray[Any]],
        transforms: NDArray[np.float32],
        weights: NDArray[np.float32],
        frames: NDArray[np.int32],
        source: bytes,
        context: bytes,
    ) -> dict[str, bytes]:
        """Return RESULT, an MP4 (of a segment: without audio), and REPORT, as the contract says.

        Args:
            motion: what the generate stage gave, and TRACKS, [N, ...], sorted by frame.
            transforms, weights, frames: [N, 2, 3], [N] and [N], as preprocess gave them.

        Raises:
            InputError: a CONTEXT, a SOURCE or rows that the stages before cannot have given; video or speech
                that cannot be used.
        """
        started = time.time()
        request = parse(RequestContext, context, MAX_CONTEXT)
        prepared = from_bytes(source)
        check_places(transforms, weights, len(frames))
        _check(motion, len(frames), prepared)
        fps, (tracks, asked, quiet) = request.source.fps, (motion[n] for n in ("TRACKS", "ASKED", "QUIET"))
        rhythm = Rhythm.of(fps, request.frames)
        sampler = Sampler(self._leaves, Mouths(fps, rhythm, frames, tracks, transforms, asked, quiet))
        mark, edges = InvisibleMark.of(request.options.invisible_mark), edges_of(frames, request)
        rows = _Rows(prepared, motion, transforms, weights, edges, sampler, mark, frames / float(fps))
        return self._deliver(video, audio, request, rows.move, rows.edges, started, sampler)


def _check(motion: dict[str, NDArray[Any]], count: int, source: Source) -> None:
    if {len(motion[name]) for name in _OF_A_ROW} != {count}:
        raise InputError("The tensors do not fit together.", "Send one row of each tensor for every mouth.")
    shares, offsets = motion["SHARES"], np.abs(motion["OFFSETS"])
    sane = ((shares >= 0) & (shares <= 1)).all() and (offsets <= 255).all()
    sane = sane and (np.abs(motion["ASKED"]) < _FAR).all() and (motion["QUIET"] <= 1).all()
    exponents = motion["FLOW"].view(np.uint16) & _INFINITE  # far cheaper than `isfinite` of half precision
    if not sane or (exponents == _INFINITE).any():
        raise InputError(
            "FLOW, SHARES, OFFSETS, ASKED or QUIET contain values that no motion can have.",
            "Send the output of the generate stage.",
        )
    people = source.people
    for track, memories in zip(motion["TRACKS"], motion["MEMORIES"], strict=True):
        if not (
            0 <= track < len(people) and ((memories >= 0) & (memories < len(people[track].memories))).all()
        ):
            raise InputError(
                "TRACKS or MEMORIES contain numbers that SOURCE does not have.",
                "Send the output of the stages before.",
            )
