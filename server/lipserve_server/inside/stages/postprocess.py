"""Last stage of the tiers that paint: paste the generated faces into the pictures, then deliver."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipserve.errors import InputError
from lipserve.files.picture import Picture
from lipserve.geometry import Painting
from lipserve.invisible_mark.draw import InvisibleMark
from lipserve.leaves import Leaves
from lipserve.options import parse
from lipserve.quality.mouths import Mouths
from lipserve.quality.sample import Sampler
from lipserve.tiers import TIERS
from lipserve_server.inside.metrics import Observer
from lipserve_server.inside.stages.context import MAX_CONTEXT, RequestContext
from lipserve_server.inside.stages.delivery import Delivery, check_places, edges_of
from lipserve_server.repository.manifest import read_crops


@dataclass(frozen=True)
class _Rows:
    """The generated faces: [N, S, S, 3], [N, 2, 3], [N], and where each frame's begin in them [F + 1].

    Attributes:
        marked: the invisible mark, if any, with the place and the time of each face's mouth [N, 2, 3], [N].
    """

    geometry: Painting
    faces: NDArray[np.uint8]
    transforms: NDArray[np.float32]
    weights: NDArray[np.float32]
    edges: NDArray[np.int64]
    sampler: Sampler | None
    marked: tuple[InvisibleMark, NDArray[np.float32], NDArray[np.float64]] | None

    def paste(self, frame: int, picture: Picture) -> None:
        for row in range(self.edges[frame], self.edges[frame + 1]):
            change = partial(self._change, row, picture)
            if self.sampler is None:
                change()
            else:
                self.sampler.watch(row, picture, change)

    def _change(self, row: int, picture: Picture) -> None:
        weight = float(self.weights[row])
        self.geometry.paste(picture, self.faces[row], self.transforms[row], weight)
        if self.marked is not None:
            mark, places, seconds = self.marked
            mark.draw(picture, places[row], float(seconds[row]), weight)


class Postprocess:
    """Pastes faces through their tier's geometry; calls `face_landmarks` for a sample of what it made."""

    def __init__(self, repository: Path, leaves: Leaves, observer: Observer | None = None) -> None:
        self._leaves = leaves
        geometries = {name: tier.geometry(read_crops(repository, tier)) for name, tier in TIERS.items()}
        self._painting = {name: item for name, item in geometries.items() if isinstance(item, Painting)}
        self._deliver = Delivery(repository, observer)

    def __call__(
        self,
        video: bytes,
        audio: bytes,
        faces: NDArray[np.uint8],
        transforms: NDArray[np.float32],
        weights: NDArray[np.float32],
        frames: NDArray[np.int32],
        context: bytes,
    ) -> dict[str, bytes]:
        """Return RESULT, an MP4 (of a segment: without audio), and REPORT, as the contract says.

        Args:
            faces: uint8 [N, S, S, 3] RGB, sorted by frame.
            transforms, weights, frames: [N, 2, 3], [N] and [N], as preprocess gave them.

        Raises:
            InputError: a CONTEXT or rows that preprocess cannot have given; a video or a speech that cannot
                be used.
        """
        started = time.time()
        request = parse(RequestContext, context, MAX_CONTEXT)
        geometry = self._painting.get(request.tier)
        if geometry is None:
            raise InputError(
                f"CONTEXT belongs to the tier {request.tier}.",
                "Send the request to the postprocess stage of that tier.",
            )
        if faces.shape != (len(frames), geometry.size, geometry.size, 3):
            raise InputError(
                f"FACES {list(faces.shape)} and FRAMES do not fit together.",
                f"Send one row for every face, {geometry.size} pixels square, sorted by frame.",
            )
        check_places(transforms, weights, len(frames))
        edges, mouths = edges_of(frames, request), None
        if request.judging is not None:
            mouths = request.judging.mouths(frames, request.span, request.source)
        sampler = None if mouths is None else Sampler(self._leaves, mouths)
        rows = _Rows(geometry, faces, transforms, weights, edges, sampler, _marked(request, mouths))
        return self._deliver(video, audio, request, rows.paste, edges, started, sampler)


def _marked(
    request: RequestContext, mouths: Mouths | None
) -> tuple[InvisibleMark, NDArray[np.float32], NDArray[np.float64]] | None:
    """Return the invisible mark that is asked for, where its mouths lie, and when each is seen."""
    mark = InvisibleMark.of(request.options.invisible_mark)
    if mark is None:
        return None
    if mouths is None or not (request.judging and request.judging.placed):
        raise InputError("CONTEXT does not say where the mouths are.", "Send the output of preprocess.")
    return mark, mouths.transforms, mouths.frames / float(mouths.fps)
