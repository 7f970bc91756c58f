"""All measures of one clip, for every tier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE, TierName
from lipserve.files.picture import Picture
from lipserve.quality import lips, looks, rest
from lipserve.quality.lips import FPS, Series
from lipserve_training.evaluate import closure, features, motion, picture, sheets
from lipserve_training.evaluate.clips import Clip
from lipserve_training.evaluate.picture import Image
from lipserve_training.evaluate.reenact import Driver, Speak
from lipserve_training.evaluate.rows import ColourRow, Row, TierRow
from lipserve_training.evaluate.scene import Scene, Tools

Shown = TierName | Literal["true"]


@dataclass(frozen=True)
class Judged:
    """A clip's row and what is drawn and pooled of it.

    Attributes:
        openings: float64 [F], of the true mouth ("true") and of each tier's.
        features: float64 [N, D], by the same names; N is 0 without a network of features.
        sheet: uint8 [H, W, 3] RGB, mouths of the source, of each tier and of the true video.
    """

    row: Row
    openings: dict[Shown, Series]
    features: dict[Shown, features.Features]
    sheet: Image


def judge(clip: Clip, tools: Tools, others: Sequence[Samples], wrong_runs: int) -> Judged:
    """Return all measures of a clip.

    Args:
        others: the speeches of other clips, of which `wrong_runs` drive this one as well, to compare.
    """
    scene = Scene(clip, tools)
    made = {name: Reenacted(scene, driver) for name, driver in tools.drivers.items()}
    wrong = motion.wrong_speeches(len(clip.samples), others, wrong_runs)
    row = Row(
        clip=clip.name,
        speaker=clip.speaker,
        split=clip.split,
        sentence=closure.sentence_of(clip.name),
        frames=len(clip),
        face_side=round(clip.face_side()),
        offset=clip.offset,
        in_sync=clip.in_sync,
        closures=scene.closures(scene.lips),
        sync=scene.sync(clip.pictures, scene.natural),
        tiers={name: one.row(wrong) for name, one in made.items()},
    )
    openings: dict[Shown, Series] = {"true": scene.lips[:, 0]}
    pooled: dict[Shown, features.Features] = {"true": scene.seen(scene.crops)}
    for name, one in made.items():
        openings[name], pooled[name] = one.lips[:, 0], scene.seen(one.crops)
    shown: dict[TierName, Sequence[Picture]] = {name: one.pictures for name, one in made.items()}
    return Judged(row, openings, pooled, sheets.page(clip, scene.driven, shown, scene.lips[:, 0]))


def judge_colour(clip: Clip, tools: Tools, samples: Samples) -> tuple[ColourRow, Image]:
    """Return how far a clip's colours shift where some speech, as long as it is, drives it; and its sheet."""
    scene = Scene(clip, tools)
    shown: dict[TierName, Sequence[Picture]] = {}
    shifts = {}
    for name, driver in tools.drivers.items():
        shown[name] = list(driver.look(scene.driven)(samples))
        shifts[name] = scene.chroma_shift(shown[name], driver.mask(scene.side))
    row = ColourRow(clip=clip.name, frames=len(clip), chroma_shift=shifts)
    return row, sheets.page(clip, scene.driven, shown, scene.lips[:, 0])


class Reenacted:
    """A clip that one tier made speak."""

    def __init__(self, scene: Scene, driver: Driver) -> None:
        self._scene, self._mask = scene, driver.mask(scene.side)
        self._border = driver.border(scene.clip, scene.side)
        self._speak: Speak = driver.look(scene.driven)
        self.pictures = list(self._speak(scene.clip.samples))
        self.lips = lips.measure(scene.meshes(self.pictures, len(self.pictures)))

    @cached_property
    def crops(self) -> list[Image]:
        """The faces, F of uint8 [S, S, 3] RGB."""
        scene = self._scene
        return list(picture.crops(scene.clip, self.pictures, scene.driven.order, scene.side))

    def row(self, wrong: Sequence[Samples]) -> TierRow:
        """Return all measures."""
        scene = self._scene
        follows = motion.agreement(self.lips, scene.lips)
        return TierRow(
            agreement=follows.best,
            lag=follows.lag,
            agreement_at_zero=follows.at_zero,
            wrong_audio=[motion.agreement(self._saying(speech), scene.lips).best for speech in wrong],
            amplitude=motion.amplitude(self.lips, scene.lips),
            closures=scene.closures(self.lips),
            chroma_shift=scene.chroma_shift(self.pictures, self._mask),
            lpips=scene.unlike(scene.looks(self.crops), self._mask),
            lpips_untouched=scene.unlike(scene.driven_looks, self._mask),
            sync=scene.sync(self.pictures, scene.driven.order),
            **self._silence(),
            **self._inside_the_mask(),
        )

    def _saying(self, samples: Samples) -> Series:
        """Return the lip measures [F, 4] of the same pictures driven by another speech."""
        return lips.measure(self._scene.meshes(self._speak(samples), len(self.pictures)))

    def _silence(self) -> dict[str, float]:
        frames = min(motion.SILENT_FRAMES, len(self.pictures))
        quiet = self._speak(np.zeros(frames * SAMPLE_RATE // FPS, np.float32))
        silent = self._scene.meshes(quiet, frames)
        return {
            "open_on_silence": motion.open_on_silence(lips.measure(silent), self.lips),
            "lip_leak": rest.lip_leak(silent),
        }

    def _inside_the_mask(self) -> dict[str, Any]:
        scene, mask = self._scene, self._mask
        border = picture.Border(self._border)
        errors, sharp, steps = [], [], []
        mouths: list[list[picture.Luma]] = [[], []]
        for shown, true, source in zip(self.crops, scene.crops, scene.driven.order, strict=True):
            made, wanted, driven = (picture.luma(crop) for crop in (shown, true, scene.crops[source]))
            errors.append(picture.squared_error(shown, true, mask))
            sharp.append((looks.sharpness(made, mask), looks.sharpness(wanted, mask)))
            steps.append((border.excess(made, driven), border.excess(made, driven, wanted)))
            for series, image in zip(mouths, (made, wanted), strict=True):
                series.append(looks.mouth(image))
        joined = np.diff(scene.driven.order, prepend=-1) == 1
        flicker, own = looks.flicker(mouths[0], joined), looks.flicker(mouths[1], np.ones_like(joined))
        sharpness, truth = np.mean(sharp, axis=0).tolist()
        step, unnatural = np.mean(steps, axis=0).tolist()
        return {
            "psnr": picture.psnr(errors),
            "sharpness": sharpness / max(truth, 1e-6),
            "border_step": step,
            "border_step_unnatural": unnatural,
            "flicker": flicker / max(own, 1e-6),
        }
