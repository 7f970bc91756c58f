"""One face within one shot, from the measures of its runs, in memory that hardly grows with its length."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lipserve.files.picture import VideoInfo
from lipserve.quality.agreement import Sums
from lipserve.quality.lips import FPS
from lipserve.quality.measures import SHARP_STEP, Run
from lipserve.quality.rest import LEAKING
from lipserve.quality.results import CheckedFace, Finding, Second
from lipserve.quality.speaking import Trace
from lipserve.quality.watch import max_lag
from lipserve.verdict import Verdict, least, needed

OVERLAP = 8  # frames of the piece before that a piece shows again: by them faces are known again
SHORTEST = 40  # frames at 25 fps: fewer say too little about agreement
IN_SYNC_MS = 45.0  # nobody notices less (ITU-R BT.1359)
_WINDOW = 1  # seconds on both sides, for the agreement of a second
_BINS = np.linspace(0, 10, 1001)  # of sharpness, whose median is wanted


@dataclass
class _Second:
    box: tuple[float, float, float, float]
    sums: Sums
    openings: list[float] = field(default_factory=list)


class Face:
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
