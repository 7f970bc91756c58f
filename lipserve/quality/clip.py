"""A whole video from the measures of its pieces, in memory that hardly grows with its length."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lipserve import faces
from lipserve.files.picture import VideoInfo
from lipserve.invisible_mark.read import Reader
from lipserve.quality.face import Face
from lipserve.quality.measures import Measures, Run
from lipserve.quality.results import CheckedFace, CheckResult, Stretch
from lipserve.quality.speaking import Trace, Turn, turns
from lipserve.segments import Span

GAP_SECONDS = 0.2  # without a face: less is not told
_KEPT = 600  # seconds of a face whose sums are kept, until its offset is taken as known


class Joiner:
    """Joins the measures of pieces that are added in order.

    Args:
        traced: keep the lips of every frame, about 100 bytes for each face, to tell who speaks.
    """

    def __init__(self, info: VideoInfo, traced: bool = False) -> None:
        self._info = info
        self._traced = traced
        self._traces: list[Trace] = []
        self._wanted: list[NDArray[np.float64]] = []  # what the speech asks for, of each piece's own frames
        self._cuts: list[int] = []
        self._faces: list[Face] = []  # of the shot in progress
        self._results: list[CheckedFace] = []
        self._count = 0
        self._gaps: list[Stretch] = []
        self._seen = 0  # frames before it are accounted for
        self._asked = False
        self._marks = Reader(float(info.fps))

    def add(self, measures: Measures, own: Span) -> None:
        """Add the measures of a piece.

        Args:
            own: the frames that are the piece's own; those before them overlap the piece before.
        """
        cuts = [cut for cut in measures.cuts if cut >= own.first]
        self._asked = self._asked or bool(measures.asked)
        asked = np.array(measures.asked, np.float64).reshape(-1, 4), measures.asked_first
        if self._traced:
            self._wanted.append(_own_rows(*asked, own))
        silent = np.array(measures.silent or [False] * measures.frames, bool)
        known: dict[tuple[int, int], Face] = {}
        for run in measures.runs:
            if run.stop <= own.first:
                continue
            self._cut_before(run.first, cuts)
            shot = len(self._cuts)
            face = known.get((run.track, shot)) or self._known(run, set(known.values())) or self._new(run)
            known[(run.track, shot)] = face
            new = max(run.first, face.stop)
            if run.skin[new - run.first :]:
                self._marks.add(face.number, new, np.array(run.skin[new - run.first :], np.float32))
            face.add(run, asked, silent[run.first - measures.first : run.stop - measures.first])
        self._cut_before(own.stop, cuts)
        self._account(measures, own)
        for face in self._faces:
            face.settle(int(own.stop / float(self._info.fps)) - _KEPT)

    def result(self) -> CheckResult:
        """Return what is known of the whole video."""
        self._close()
        info = self._info
        fps = float(info.fps)
        edges = [0.0, *(cut / fps for cut in self._cuts), info.frames / fps]
        shots = tuple(Stretch(round(a, 3), round(b, 3)) for a, b in pairwise(edges))
        return CheckResult(
            width=info.width,
            height=info.height,
            fps=fps,
            frames=info.frames,
            seconds=round(info.frames / fps, 3),
            has_speech=self._asked,
            shots=shots,
            invisible_mark=self._marks.found(),
            faces=tuple(sorted(self._results, key=lambda face: face.number)),
            faceless=tuple(gap for gap in self._gaps if gap.end - gap.begin >= GAP_SECONDS),
        )

    @property
    def traces(self) -> list[Trace]:
        """The lips of every face, where they are kept; known after `result`."""
        return sorted(self._traces, key=lambda trace: trace.number)

    def turns(self, held: bool = False) -> list[Turn]:
        """Return who speaks when (`lipserve.quality.speaking`), where traces are kept; after `result`."""
        asked, edges = np.concatenate(self._wanted), [0, *self._cuts, self._info.frames]
        return turns(self.traces, asked, edges, self._info.fps, held)

    def _cut_before(self, frame: int, cuts: list[int]) -> None:
        """Begin the shots that begin no later than a frame."""
        while cuts and cuts[0] <= frame:
            self._close()
            self._cuts.append(cuts.pop(0))

    def _close(self) -> None:
        self._results += [face.result() for face in self._faces]
        if self._traced:
            self._traces += [face.trace() for face in self._faces if face.parts]
        self._faces = []
        self._marks.close()

    def _known(self, run: Run, taken: set[Face]) -> Face | None:
        """Return the face of the shot that a run goes on with: the one that lies where it lies."""
        free = [(_overlap(run, face), face) for face in self._faces if face not in taken]
        best = max(free, key=lambda pair: pair[0], default=None)
        return best[1] if best and best[0] > faces.SAME_FACE_IOU else None

    def _new(self, run: Run) -> Face:
        self._count += 1
        self._faces.append(Face(self._count, len(self._cuts), run, self._info, self._traced))
        return self._faces[-1]

    def _account(self, measures: Measures, own: Span) -> None:
        """Note where nobody is seen."""
        present = np.zeros(measures.frames + 1, bool)
        for run in measures.runs:
            present[run.first - measures.first : run.stop - measures.first] = True
        present[-1] = True
        fps = float(self._info.fps)
        for begin, stop in _gaps(present[own.first - measures.first :]):
            gap = Stretch(round((own.first + begin) / fps, 3), round((own.first + stop) / fps, 3))
            if self._gaps and self._gaps[-1].end == gap.begin:
                gap = Stretch(self._gaps.pop().begin, gap.end)
            self._gaps.append(gap)


def _own_rows(asked: NDArray[np.float64], first: int, own: Span) -> NDArray[np.float64]:
    """Return the rows [F, 4] of a span, of those from frame `first` on; no numbers where there are none."""
    rows = np.full((own.count, 4), np.nan)
    at = np.arange(own.first, own.stop) - first
    inside = (at >= 0) & (at < len(asked))
    rows[inside] = asked[at[inside]]
    return rows


def _overlap(run: Run, face: Face) -> float:
    """Return by how much a run and a face share a place: in a frame of both, or in the nearest ones."""
    both = [frame for frame in face.boxes if run.first <= frame < run.stop]
    frame = both[-1] if both else max(face.boxes)
    return faces.iou(face.boxes[frame], np.array(run.boxes[frame - run.first if both else 0]))


def _gaps(present: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[True], present]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
