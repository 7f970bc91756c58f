"""A whole video from the measures of its pieces, in memory that hardly grows with its length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lipserve import faces
from lipserve.files.picture import VideoInfo
from lipserve.quality.agreement import Sums
from lipserve.quality.lips import FPS
from lipserve.quality.measures import SHARP_STEP, Measures, Run
from lipserve.quality.rest import LEAKING
from lipserve.quality.results import CheckedFace, CheckResult, Finding, Second, Stretch
from lipserve.quality.speaking import Trace, Turn, turns
from lipserve.quality.watch import max_lag
from lipserve.segments import Span
from lipserve.verdict import Verdict, least, needed

OVERLAP = 8  # frames of the piece before that a piece shows again: by them faces are known again
SHORTEST = 40  # frames at 25 fps: fewer say too little about agreement
GAP_SECONDS = 0.2  # without a face: less is not told
IN_SYNC_MS = 45.0  # nobody notices less (ITU-R BT.1359)
_KEPT = 600  # seconds of a face whose sums are kept, until its offset is taken as known
_WINDOW = 1  # seconds on both sides, for the agreement of a second
_BINS = np.linspace(0, 10, 1001)  # of sharpness, whose median is wanted


@dataclass
class _Second:
    box: tuple[float, float, float, float]
    sums: Sums
    openings: list[float] = field(default_factory=list)


class _Face:
    """One face within one shot, as far as it has been seen."""

    def __init__(self, number: int, shot: int, run: Run, info: VideoInfo, traced: bool) -> None:
        self.parts: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]] = []
        self._traced = traced
        self.number, self.shot, self.first, self.stop = number, shot, run.first, run.first
        self._fps = float(info.fps)
        self._lag = max_lag(info.fps)
        self._sums = Sums(self._lag, np.array(run.lips[0]))
        self._settled = 0  # seconds before it are among those that are done
        self._open: dict[int, _Second] = {}
        self._done: list[Second] = []
        self._frames = self._silent = self._leaks = 0
        self._sharp = np.zeros(len(_BINS) - 1, np.int64)
        self._flicker = np.zeros(3)
        self.boxes: dict[int, NDArray[np.float64]] = {}

    def add(self, run: Run, asked: tuple[NDArray[np.float64], int], silent: NDArray[np.bool_]) -> None:
        """Add the frames of a run that are new.

        Args:
            silent: of each of the run's frames.
        """
        skip = max(0, self.stop - run.first)
        series = np.array(run.lips, np.float64).reshape(-1, 4)
        frames = np.arange(run.first + skip, run.stop)
        if not len(frames):
            return
        if self._traced:
            self.parts.append((frames, series[skip:], np.array(run.boxes, np.float64)[skip:]))
        quiet = silent[skip:]
        self._silent += int(quiet.sum())
        self._leaks += int((np.array(run.apart)[skip:][quiet] > LEAKING).sum())
        self._frames += len(frames)
        self._look(run, int(frames[0]))
        for second in np.unique((frames / self._fps).astype(np.int64)).tolist():
            own = frames[(frames / self._fps).astype(np.int64) == second]
            part = series[own[0] - run.first : own[-1] + 1 - run.first]
            held = self._open.get(second)
            if held is None:
                held = self._open[second] = _Second(run.boxes[own[0] - run.first], self._sums.like())
            sums = self._sums.like()
            sums.add(part, own, *asked)
            held.sums, self._sums = held.sums + sums, self._sums + sums
            held.openings += part[:, 0].tolist()
        self.stop = run.stop
        last = range(max(run.first, run.stop - OVERLAP), run.stop)
        self.boxes = {frame: np.array(run.boxes[frame - run.first]) for frame in last}

    def _look(self, run: Run, first: int) -> None:
        sharp = range(-(-run.first // SHARP_STEP) * SHARP_STEP, run.stop, SHARP_STEP)
        values = [
            v for frame, v in zip(sharp, run.sharpness, strict=True) if frame >= first and v is not None
        ]
        self._sharp += np.histogram(np.clip(values, 0, 9.99), _BINS)[0]
        skip = max(0, first - run.first - 1)
        mouth, around = run.flicker[skip:], run.flicker_around[skip:]
        self._flicker += (len(mouth), sum(mouth), sum(around))

    def settle(self, before: int) -> None:
        """Let the sums of the seconds before one go; what they say is kept."""
        ready = [second for second in self._open if self._settled <= second < before - _WINDOW]
        self._done += [self._second(second) for second in sorted(ready)]
        self._settled = max(self._settled, before - _WINDOW)
        for second in [second for second in self._open if second < before - 2 * _WINDOW]:
            del self._open[second]

    def _second(self, second: int) -> Second:
        held = self._open[second]
        sums = held.sums.like()
        for other in range(second - _WINDOW, second + _WINDOW + 1):
            if other in self._open:
                sums = sums + self._open[other].sums
        _, lag = self._verdict()
        enough = sums.asks and sums.count >= self._fps
        return Second(
            second=second,
            box=held.box,
            frames=len(held.openings),
            agreement=round(float(sums.curve()[self._lag + lag]), 3) if enough else None,
            movement=round(float(np.std(held.openings)), 4),
        )

    def _verdict(self) -> tuple[Verdict, int]:
        verdict = self._sums.verdict()
        return verdict, verdict.believed(self._sums.count * FPS / self._fps)

    def trace(self) -> Trace:
        """Return its lips in every frame."""
        frames, series, boxes = zip(*self.parts, strict=True)
        return Trace(self.number, self.shot, *map(np.concatenate, (frames, series, boxes)))

    def result(self) -> CheckedFace:
        self.settle(1 << 40)
        verdict, lag = self._verdict()
        compared = self._sums.count * FPS / self._fps
        score = verdict.score if lag else verdict.at_zero
        finding = _finding(self._sums, compared, score, 1000 * lag / self._fps)
        spoken = finding not in ("no_speech", "too_short")
        count, mouth, around = self._flicker.tolist()
        return CheckedFace(
            number=self.number,
            shot=self.shot,
            begin=round(self.first / self._fps, 3),
            end=round(self.stop / self._fps, 3),
            seen=round(self._frames / self._fps, 3),
            finding=finding,
            agreement=round(score, 3) if spoken else None,
            needed=round(needed(compared, lag), 3),
            offset_ms=round(1000 * lag / self._fps, 1) if spoken else 0.0,
            at_zero=round(verdict.at_zero, 3) if spoken else None,
            lip_leak=round(self._leaks / self._silent, 4) if self._silent else None,
            silent_seconds=round(self._silent / self._fps, 3),
            sharpness=_median(self._sharp),
            flicker=round(mouth / count, 3) if count else None,
            flicker_around=round(around / count, 3) if count else None,
            seconds=tuple(self._done),
        )


def _finding(sums: Sums, compared: float, score: float, offset_ms: float) -> Finding:
    if not sums.asks:
        return "no_speech"
    if compared < SHORTEST:
        return "too_short"
    if score < least(compared):
        return "disagree"
    if abs(offset_ms) <= IN_SYNC_MS:
        return "in_sync"
    return "late" if offset_ms > 0 else "early"


def _median(counts: NDArray[np.int64]) -> float | None:
    total = int(counts.sum())
    if not total:
        return None
    place = int(np.searchsorted(np.cumsum(counts), (total + 1) // 2))
    return round(float(_BINS[place : place + 2].mean()), 3)


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
        self._faces: list[_Face] = []  # of the shot in progress
        self._results: list[CheckedFace] = []
        self._count = 0
        self._gaps: list[Stretch] = []
        self._seen = 0  # frames before it are accounted for
        self._asked = False

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
        known: dict[tuple[int, int], _Face] = {}
        for run in measures.runs:
            if run.stop <= own.first:
                continue
            self._cut_before(run.first, cuts)
            shot = len(self._cuts)
            face = known.get((run.track, shot)) or self._known(run, set(known.values())) or self._new(run)
            known[(run.track, shot)] = face
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

    def _known(self, run: Run, taken: set[_Face]) -> _Face | None:
        """Return the face of the shot that a run goes on with: the one that lies where it lies."""
        free = [(_overlap(run, face), face) for face in self._faces if face not in taken]
        best = max(free, key=lambda pair: pair[0], default=None)
        return best[1] if best and best[0] > faces.SAME_FACE_IOU else None

    def _new(self, run: Run) -> _Face:
        self._count += 1
        self._faces.append(_Face(self._count, len(self._cuts), run, self._info, self._traced))
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


def _overlap(run: Run, face: _Face) -> float:
    """Return by how much a run and a face share a place: in a frame of both, or in the nearest ones."""
    both = [frame for frame in face.boxes if run.first <= frame < run.stop]
    frame = both[-1] if both else max(face.boxes)
    return faces.iou(face.boxes[frame], np.array(run.boxes[frame - run.first if both else 0]))


def _gaps(present: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[True], present]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
