"""Training task of the lip motion: lip shapes, their changes, and phones, from Whisper's states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lipserve.lipwarp.shapes import Series, shipped_basis
from lipserve.quality import lips
from lipserve_export.lipwarp.motion_network import SILENCE, LipMotion, closed
from lipserve_training.lipwarp.hearing import Heard
from lipserve_training.lipwarp.phones import UNKNOWN, Labels
from lipserve_training.lipwarp.recipes import MotionRecipe
from lipserve_training.lipwarp.stretches import Batch, Shapes
from lipserve_training.train.loop import Task

_STILL = 0.005  # of the reach: a direction in which nothing moves is not blown up
_OPENING = lips.MEASURES.index("opening")
_CURVES, _HEIGHT, _WIDTH = 6, 120, 600  # curves on a sheet, and pixels of each


@dataclass(frozen=True)
class Judged:
    """Clips that are not trained on: their number in what is heard, shapes over the reach, phones."""

    clip: int
    shapes: Series
    labels: Labels


class MotionTask(Task[Batch]):
    """Teaches the members, each on its own draws; the first layers are given and stay.

    Args:
        shapes: float32 [N, K], all that lips do in training: they tell the deviations.
        judged: clips of people that are not trained on.
    """

    network: LipMotion

    def __init__(
        self, recipe: MotionRecipe, heard: Heard, shapes: Shapes, judged: Sequence[Judged] = ()
    ) -> None:
        self.network = LipMotion()
        self.network.load_state_dict(heard.directions, strict=False)
        self.network.listen.requires_grad_(False)
        for member in self.network.members:
            member.forget.p = recipe.network.dropout  # type: ignore[union-attr]
        self.companions = nn.ModuleDict()
        self._weights, self._heard, self._judged = recipe.losses, heard, judged
        gap = lips.measured(shipped_basis())[:, _OPENING]
        self._deviation = torch.from_numpy(np.maximum(np.sqrt((shapes**2).mean(0)), _STILL))
        self.network.gap.copy_(torch.from_numpy(gap))
        self._gap = torch.from_numpy((gap / np.sqrt(((shapes @ gap) ** 2).mean())).astype(np.float32))
        self._directions = torch.tensor(recipe.losses.directions, dtype=torch.float32)

    def groups(self) -> list[list[nn.Parameter]]:
        return [list(member.parameters()) for member in self.network.members]

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the sums over the members: each has its own loss, as if it were trained alone."""
        parts = [self._member(number, batch) for number in range(len(self.network.members))]
        return {name: torch.stack([part[name] for part in parts]).sum() for name in parts[0]}

    def _member(self, number: int, batch: Batch) -> dict[str, Tensor]:
        outputs, phones = self.network.members[number](batch.heard[number])
        shapes, wanted, valid = outputs[:, 1::2].float(), batch.shapes[number], batch.valid[number]
        w, scale = self._weights, self._directions.to(outputs.device)
        lack, both = shapes - wanted, valid[:, 1:] & valid[:, :-1]
        off, apart = lack / self._deviation.to(outputs.device), lack @ self._gap.to(outputs.device)
        terms = {}
        if w.shape:
            terms["shape"] = w.shape * (off**2 * scale * valid[..., None]).mean()
        if w.gap:
            terms["gap"] = w.gap * (apart**2 * valid).mean()
        if w.velocity:
            change = w.shape * (off.diff(dim=1) ** 2 * scale * both[..., None]).mean()
            terms["velocity"] = w.velocity * (change + w.gap * (apart.diff(dim=1) ** 2 * both).mean())
        if w.phones:
            labels = batch.phones[number].flatten()
            # Where no word of a batch is known there is nothing to learn of phones, and the mean of nothing.
            entropy = functional.cross_entropy(
                phones.flatten(0, 1).float(), labels, ignore_index=UNKNOWN, reduction="sum"
            )
            terms["phones"] = w.phones * entropy / (labels != UNKNOWN).sum().clamp(min=1)
        return terms

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return how people held out are heard, and how far the mouth opens at sounds that are no speech."""
        assert isinstance(network, LipMotion)
        figures = {}
        if len(self._heard.judged):
            quiet = [float(_told(network, sound)[0][:, 0].abs().mean()) for sound in self._heard.judged]
            figures["held_out/open_on_no_speech"] = float(np.mean(quiet))
        if self._judged:
            opening, second, right = zip(
                *(self._agreement(network, one) for one in self._judged), strict=True
            )
            figures |= {
                "held_out/opening": float(np.mean(opening)),
                "held_out/opening_least": float(np.min(opening)),
                "held_out/second": float(np.mean(second)),
            }
            known = [value for value in right if value is not None]
            if known:
                figures["held_out/phones"] = float(np.mean(known))
        return figures

    def _agreement(self, network: LipMotion, one: Judged) -> tuple[float, float, float | None]:
        """Return correlations of a clip's first two directions, and the share of phones that are right."""
        shapes, phones = self._of_clip(network, one)
        first, second = (lips.correlation(shapes[:, i], one.shapes[:, i]) for i in (0, 1))
        known = (one.labels != UNKNOWN) & (one.labels != SILENCE)
        right = float((phones[known] == one.labels[known]).mean()) if known.any() else None
        return first, second, right

    def _of_clip(self, network: LipMotion, one: Judged) -> tuple[Series, Labels]:
        """Return the shapes [F, K] of a clip, the mean where pieces overlap, and its rows' phones [2 F]."""
        total = np.zeros_like(one.shapes)
        count, phones = np.zeros((len(total), 1)), np.zeros(2 * len(total), np.int64)
        for stretch in self._heard.stretches:
            if stretch.clip == one.clip and stretch.clean:
                shapes, scores = _told(network, stretch.values)
                part = slice(int(stretch.places[0]), int(stretch.places[-1]) + 1)
                total[part] += shapes[1::2].cpu().numpy()
                count[part] += 1
                phones[2 * part.start : 2 * part.stop] = scores.argmax(-1).cpu().numpy()
        return total / count, phones

    def sheet(self, batch: Batch, network: nn.Module) -> NDArray[np.uint8]:
        """Return curves of the opening: what the lips do (grey), and what is heard (blue)."""
        assert isinstance(network, LipMotion)
        courses = [(one.shapes[:, 0], self._of_clip(network, one)[0][:, 0]) for one in self._judged[:_CURVES]]
        if not courses:
            wanted, heard = batch.shapes[0, :_CURVES, :, 0].cpu().numpy(), batch.heard[0, :_CURVES]
            with torch.no_grad():
                made = network.members[0](heard)[0][:, 1::2, 0].float().cpu().numpy()
            courses = list(zip(wanted, made, strict=True))
        return np.concatenate([_curves(*course) for course in courses])


def _told(network: LipMotion, values: NDArray[np.float16]) -> tuple[Tensor, Tensor]:
    """Return shapes [R, K] as they are served, and probabilities of phones [R, 40], of one stretch."""
    device = network.mean.device
    heard = torch.from_numpy(values.astype(np.float32))[None].to(device)
    with torch.no_grad():
        outputs = [member(heard) for member in network.members]
    shapes = torch.stack([shape for shape, _ in outputs]).mean(0)
    phones = torch.stack([torch.softmax(phone, -1) for _, phone in outputs]).mean(0)
    return closed(shapes, phones, network.gap)[0], phones[0]


def _curves(wanted: Series, heard: Series) -> NDArray[np.uint8]:
    picture = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    for course, colour in ((wanted, (150, 150, 150)), (heard, (20, 60, 200))):
        x = np.linspace(4, _WIDTH - 5, len(course))
        y = _HEIGHT - 12 - np.clip(course, -0.2, 1.4) * (_HEIGHT - 40)
        points = np.round(np.stack([x, y], 1)).astype(np.int32)
        cv2.polylines(picture, [points], False, colour, 1, cv2.LINE_AA)
    return picture
