"""Judge a generator on a set of videos."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import torch

from lipserve import audio
from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE
from lipserve.errors import InputError
from lipserve_training import meter
from lipserve_training.data import sync
from lipserve_training.data.videos import Video
from lipserve_training.evaluate import clips, features
from lipserve_training.evaluate.clips import Split
from lipserve_training.evaluate.generate import Generator
from lipserve_training.evaluate.judge import Judged, Tools, judge
from lipserve_training.faces import FaceModels
from lipserve_training.models import syncnet

_HEARD = 30 * SAMPLE_RATE  # samples of a speech that others are driven by


@dataclass(frozen=True)
class Settings:
    """What judges what.

    Attributes:
        models: a model repository with the face models.
        wrong_runs: how many speeches of other clips drive each clip, to compare.
        syncnet, features, lpips: a user's weights, see `lse` and `features`.
    """

    checkpoint: Path
    models: Path
    offset: sync.Offset = "estimate"
    wrong_runs: int = 5
    syncnet: Path | None = None
    features: Path | None = None
    lpips: Path | None = None


@dataclass(frozen=True)
class Subject:
    """A video, and what the generator knows of who speaks in it."""

    video: Video
    split: Split


@dataclass
class Outcome:
    """What became of a video: its clips, or why there is none."""

    source: str
    judged: list[Judged] = field(default_factory=list)
    dropped: str = ""


def evaluate(
    subjects: Sequence[Subject], settings: Settings, workers: int, on_done: Callable[[Outcome], None]
) -> list[Outcome]:
    """Return what became of every video, in order.

    Args:
        on_done: called for each, as it is done.
    """
    tools(settings)  # what is missing is said before anything is started
    outcomes = {}
    for number, outcome in _run(tuple(subjects), settings, workers):
        outcomes[number] = outcome
        on_done(outcome)
    return [outcomes[number] for number in sorted(outcomes)]


def _run(subjects: tuple[Subject, ...], settings: Settings, workers: int) -> Iterator[tuple[int, Outcome]]:
    if workers <= 1 or len(subjects) <= 1:
        yield from ((number, one(subjects, number, settings)) for number in range(len(subjects)))
        return
    # A fork of a process in which torch and ONNX Runtime have started threads may hang.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(subjects)), fresh) as pool:
        futures = {pool.submit(one, subjects, number, settings): number for number in range(len(subjects))}
        try:
            yield from ((futures[future], future.result()) for future in as_completed(futures))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def one(subjects: tuple[Subject, ...], number: int, settings: Settings) -> Outcome:
    """Judge the clips of one of the videos; the others lend their speech."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    subject, judges = subjects[number], tools(settings)
    outcome = Outcome(subject.video.name)
    paths = [other.video.path for other in subjects if other.video.path != subject.video.path]
    others = [speech for path in paths if (speech := _speech(path)) is not None]
    try:
        for clip in clips.read(subject.video, subject.split, judges.models, settings.offset):
            outcome.judged.append(judge(clip, judges, others, settings.wrong_runs))
    except InputError as error:
        outcome.dropped = error.message
    return outcome


@lru_cache(maxsize=4096)
def _speech(path: Path) -> Samples | None:
    """Return the beginning of a video's speech, or None where it has none."""
    try:
        return audio.load(str(path))[:_HEARD].copy()
    except InputError:
        return None


@lru_cache(maxsize=1)
def tools(settings: Settings) -> Tools:
    """Return what judges, loaded once in each process, or raise SetupError."""
    return Tools(
        generator=Generator(settings.checkpoint),
        models=FaceModels(settings.models),
        meter=meter.shipped(),
        features=features.load(settings.features) if settings.features else features.own(),
        syncnet=syncnet.load(settings.syncnet) if settings.syncnet else None,
        lpips=features.load(settings.lpips) if settings.lpips else None,
    )
