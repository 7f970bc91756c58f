"""Judge the tiers on a set of videos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch

from lipserve import audio
from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE, TierName
from lipserve.errors import InputError
from lipserve_training.data import pool, prepare, sync
from lipserve_training.data.videos import Video
from lipserve_training.evaluate import clips, closure, features, motion
from lipserve_training.evaluate.clips import Split
from lipserve_training.evaluate.drivers import LipwarpDriver, Wav2LipDriver
from lipserve_training.evaluate.judge import Judged, judge, judge_colour
from lipserve_training.evaluate.judged import TIERS
from lipserve_training.evaluate.leaves import Leaves
from lipserve_training.evaluate.picture import Image
from lipserve_training.evaluate.reenact import Driver
from lipserve_training.evaluate.rows import ColourRow
from lipserve_training.evaluate.scene import Tools
from lipserve_training.lipwarp import phones
from lipserve_training.models import lpips, syncnet

_HEARD = 30 * SAMPLE_RATE  # samples of a speech that others are driven by


@dataclass(frozen=True)
class Settings:
    """What judges what.

    Attributes:
        models: a model repository with the leaves of the tiers.
        checkpoint: of a Wav2Lip generator to judge in the place of the repository's.
        min_sync: the meter's score that a clip in sync has, see `prepare.Settings`.
        wrong_runs: how many speeches of other clips drive each clip, to compare.
        alignments: the words of GRID's sentences. syncnet, features: a user's weights.
    """

    models: Path
    tiers: tuple[TierName, ...]
    min_sync: float
    checkpoint: Path | None = None
    offset: sync.Offset = "estimate"
    wrong_runs: int = 5
    alignments: Path | None = None
    syncnet: Path | None = None
    features: Path | None = None


@dataclass(frozen=True)
class Subject:
    """A video, and what its speaker is to those who trained; `colour`: nothing but its colours is judged."""

    video: Video
    split: Split = "heldout"
    colour: bool = False


@dataclass
class Outcome:
    """What became of a video: what was found, or why there is nothing."""

    number: int
    source: str
    judged: Judged | None = None
    colour: tuple[ColourRow, Image] | None = field(default=None, repr=False)
    dropped: str = ""


def evaluate(
    subjects: Sequence[Subject], settings: Settings, workers: int, on_done: Callable[[Outcome], None]
) -> list[Outcome]:
    """Return what became of every video, in order.

    Args:
        on_done: called for each, as it is done.

    Raises:
        SetupError: a model or a file is missing or damaged, or a process died.
    """
    tools(settings)  # what is missing is said before anything is started
    work = partial(one, subjects=tuple(subjects), settings=settings)
    outcomes = []
    with closing(pool.each(work, range(len(subjects)), workers)) as running:
        for outcome in running:
            outcomes.append(outcome)
            on_done(outcome)
    return sorted(outcomes, key=lambda outcome: outcome.number)


def one(number: int, subjects: tuple[Subject, ...], settings: Settings) -> Outcome:
    """Judge one of the videos; the others lend their speech."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    subject, judges = subjects[number], tools(settings)
    outcome = Outcome(number, subject.video.name)
    others = speeches(subject, subjects)
    try:
        if subject.colour:
            clip = clips.read_silent(subject.video, judges.leaves)
            speech = motion.loudest(others[0] if others else np.zeros(1, np.float32), len(clip))
            outcome.colour = judge_colour(clip, judges, speech)
        else:
            rules = prepare.Settings(settings.models, settings.offset, settings.min_sync)
            clip = clips.read(subject.video, subject.split, judges.leaves, rules)
            outcome.judged = judge(clip, judges, others, settings.wrong_runs)
    except InputError as error:
        outcome.dropped = error.message
    return outcome


def speeches(subject: Subject, subjects: Sequence[Subject]) -> list[Samples]:
    """Return the speeches of the other videos, but those of the same sentence by the same speaker."""
    paths = [
        other.video.path for other in subjects if other != subject and not _alike(subject.video, other.video)
    ]
    return [speech for path in paths if (speech := _speech(path)) is not None]


def _alike(one: Video, other: Video) -> bool:
    sentence = closure.sentence_of(one.name)
    return bool(sentence) and (one.speaker, sentence) == (other.speaker, closure.sentence_of(other.name))


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
    leaves = Leaves(settings.models, settings.tiers, settings.checkpoint)
    painter = Wav2LipDriver(leaves, leaves.mel_offset_ms, leaves.framing)
    drivers: dict[TierName, Driver] = dict(zip(TIERS, (painter, LipwarpDriver(leaves)), strict=True))
    words = phones.read(settings.alignments) if settings.alignments else None
    network = lpips.weights()
    return Tools(
        leaves=leaves,
        drivers={tier: drivers[tier] for tier in settings.tiers},
        alignments=words if closure.installed() else None,
        lpips=lpips.load(network) if network else None,
        features=features.load(settings.features) if settings.features else None,
        syncnet=syncnet.load(settings.syncnet) if settings.syncnet else None,
    )
