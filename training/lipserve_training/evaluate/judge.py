"""All measures of one clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from lipserve import align
from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE
from lipserve.media.picture import Picture
from lipserve_training.data import track
from lipserve_training.evaluate import features, lse, motion, picture
from lipserve_training.evaluate.clips import Clip, Split
from lipserve_training.evaluate.generate import Crops, Generator, lips_of, pasted
from lipserve_training.faces import FaceModels
from lipserve_training.lips import FPS, Series
from lipserve_training.meter import Meter
from lipserve_training.models.syncnet import SyncNet

SHEET_FRAMES = 8
_SHEET_SIDE = 192  # pixels of one frame
_BATCH = 8  # faces that a feature network sees at once


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Beside(_Record):
    """A figure of the generated picture, and that of the true crop at 96 pixels pasted back."""

    generated: float
    ceiling: float


class Sync(_Record):
    """What the lip-audio meter and SyncNet say of a video: `auc` is the rank of the right speech, 0..1."""

    auc: float
    score: float
    lse_d: float | None = None
    lse_c: float | None = None
    av_offset: int | None = None


class Row(_Record):
    """The measures of one clip. `agreement` and `wrong_audio` are correlations; lags are frames at 25 fps.

    `psnr_served` and `sharpness_served` (over the ceiling's) are of the picture with each face as its own
    reference, as in service: it shows the true mouth too, so they tell of the skin, not of the lips.
    """

    clip: str
    speaker: str
    split: Split
    frames: int
    offset: int
    agreement: float
    lag: int
    agreement_at_zero: float
    wrong_audio: list[float]
    mouth_open_on_silence: float
    generated: Sync
    true: Sync
    psnr: Beside
    psnr_gap: float
    ssim: Beside
    l1: Beside
    sharpness: Beside
    sharpness_ratio: float
    psnr_served: float
    sharpness_served: float
    border_step: Beside
    lpips: float | None = None


@dataclass(frozen=True)
class Tools:
    """The networks that judge, and the one that is judged."""

    generator: Generator
    models: FaceModels
    meter: Meter
    features: Callable[..., Tensor]
    syncnet: SyncNet | None = None
    lpips: Callable[..., Tensor] | None = None


@dataclass(frozen=True)
class Judged:
    """A clip's row and what is drawn and pooled of it.

    Attributes:
        openings: float64 [2, F], of the generated and the true mouth.
        features: of generated, ceiling and true faces, float64 [3, F, D].
        sheet: uint8 [H, W, 3] RGB, true faces above generated ones.
    """

    row: Row
    openings: Series
    features: features.Features
    sheet: NDArray[np.uint8]


def judge(clip: Clip, tools: Tools, others: Sequence[Samples], wrong_runs: int) -> Judged:
    """Return all measures of a clip.

    The clip is re-enacted: the generator hears its speech and sees the upper half of each of its faces, but
    the reference is the face half the clip away.

    Args:
        others: the speeches of other clips.
        wrong_runs: how many of them drive the same clip, to compare.
    """
    run = _Reenactment(clip, tools)
    wrong = motion.wrong_speeches(clip.samples, others)
    of_others = wrong[: len(others)] or wrong
    picks = np.linspace(0, len(of_others) - 1, min(wrong_runs, len(of_others))).round().astype(int)
    true, moved = run.lips(clip.pictures), run.lips(run.pictures(run.made))
    astray = [run.lips(run.pictures(run.speak(of_others[pick]))) for pick in picks]
    follows = motion.agreement(moved, true)
    row = Row(
        clip=clip.name,
        speaker=clip.speaker,
        split=clip.split,
        frames=len(clip),
        offset=clip.offset,
        agreement=follows.best,
        lag=follows.lag,
        agreement_at_zero=follows.at_zero,
        wrong_audio=[motion.agreement(lips, true).best for lips in astray],
        mouth_open_on_silence=motion.open_on_silence(run.silent(), moved),
        generated=run.sync(moved, lambda: run.pictures(run.made), wrong),
        true=run.sync(true, lambda: clip.pictures, wrong),
        **run.inside_the_mask(),
    )
    shown = (run.pictures(run.made), run.pictures(run.faces), clip.pictures)
    pooled = np.stack([run.features(pictures) for pictures in shown])
    return Judged(row, np.stack([moved[:, 0], true[:, 0]]), pooled, run.sheet())


class _Reenactment:
    """A clip and the generator that re-enacts it."""

    def __init__(self, clip: Clip, tools: Tools) -> None:
        self._clip, self._tools = clip, tools
        self._framing = tools.generator.framing
        self.faces = clip.faces(self._framing)
        self._references = np.roll(self.faces, len(clip) // 2, axis=0)
        self._side = picture.side_of(clip)
        self.made = self.speak(clip.samples)

    def speak(self, samples: Samples) -> Crops:
        """Return the faces [F, 96, 96, 3] that say a speech."""
        return self._say(samples, self._references)

    def pictures(self, made: Crops) -> Iterator[Picture]:
        """Yield the pictures with generated faces in them."""
        return pasted(self._clip, made, range(len(self._clip)), self._framing)

    def lips(self, pictures: Iterable[Picture]) -> Series:
        """Return the lip measures [F, 4]."""
        return lips_of(self._tools.models, self._clip, pictures, range(len(self._clip)))

    def silent(self) -> Series:
        """Return the lips [50, 4] of two seconds of silence, as served: each face is its own reference."""
        frames = motion.to_and_fro(len(self._clip), motion.SILENT_FRAMES)
        quiet = np.zeros(len(frames) * SAMPLE_RATE // FPS, np.float32)
        shown = self.faces[frames]
        made = self._tools.generator(self._tools.generator.windows(quiet, len(frames)), shown, shown)
        pictures = pasted(self._clip, made, frames, self._framing)
        return lips_of(self._tools.models, self._clip, pictures, frames)

    def inside_the_mask(self) -> dict[str, Any]:
        """Return the fields of Row that tell of the picture."""
        made, ceiling = self._quality(self.made), self._quality(self.faces)
        served = self._quality(self._say(self._clip.samples, self.faces))
        pairs = zip(made._fields, made, ceiling, strict=True)
        return {
            **{name: Beside(generated=value, ceiling=best) for name, value, best in pairs},
            "psnr_gap": ceiling.psnr - made.psnr,
            "sharpness_ratio": made.sharpness / max(ceiling.sharpness, 1e-6),
            "psnr_served": served.psnr,
            "sharpness_served": served.sharpness / max(ceiling.sharpness, 1e-6),
            "lpips": self._lpips(),
        }

    def sync(self, lips: Series, pictures: Callable[[], Iterable[Picture]], wrong: Sequence[Samples]) -> Sync:
        """Return how well lips, and the pictures that show them, fit the clip's speech."""
        auc, score = motion.rank(self._tools.meter, lips, self._clip.samples, wrong)
        if self._tools.syncnet is None:
            return Sync(auc=auc, score=score)
        crops = lse.face_crops(self._clip, pictures())
        lse_d, lse_c, offset = lse.score(self._tools.syncnet, crops, self._clip.samples)
        return Sync(auc=auc, score=score, lse_d=lse_d, lse_c=lse_c, av_offset=offset)

    def features(self, pictures: Iterable[Picture]) -> features.Features:
        """Return features [F, D] of the faces."""
        crops = picture.crops(self._clip, pictures, self._side)
        parts = [features.extract(self._tools.features, batch) for batch in _batches(crops)]
        return np.concatenate(parts)

    def sheet(self) -> NDArray[np.uint8]:
        """Return eight true faces above the generated ones."""
        frames = np.linspace(0, len(self._clip) - 1, SHEET_FRAMES).round().astype(int)
        wide = track.wider(self._clip.transforms)[frames]
        transforms = align.scale(wide, _SHEET_SIDE, self._clip.pixel_aspect)
        rows = []
        for pictures in (self._clip.pictures, list(self.pictures(self.made))):
            shown = [
                align.crop(pictures[i], transform, _SHEET_SIDE)
                for i, transform in zip(frames, transforms, strict=True)
            ]
            rows.append(np.concatenate(shown, 1))
        sheet = np.concatenate(rows)
        text = f"{self._clip.name} ({self._clip.split}): true, generated"
        cv2.putText(sheet, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        return sheet

    def _say(self, samples: Samples, references: Crops) -> Crops:
        windows = self._tools.generator.windows(samples, len(self._clip))
        return self._tools.generator(windows, self.faces, references)

    def _quality(self, faces: Crops) -> picture.Quality:
        shown = picture.crops(self._clip, self.pictures(faces), self._side)
        return picture.quality(zip(shown, self._true_crops(), strict=True))

    def _lpips(self) -> float | None:
        if self._tools.lpips is None:
            return None
        shown = picture.crops(self._clip, self.pictures(self.made), self._side)
        pairs = zip(_batches(shown), _batches(self._true_crops()), strict=True)
        total = sum(features.lpips(self._tools.lpips, a, b) * len(a) for a, b in pairs)
        return total / len(self._clip)

    def _true_crops(self) -> Iterator[NDArray[np.uint8]]:
        return picture.crops(self._clip, self._clip.pictures, self._side)


def _batches(crops: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    while block := list(islice(crops, _BATCH)):
        yield np.stack([features.resize(crop) for crop in block])
