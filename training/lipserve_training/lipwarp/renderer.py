"""The renderer's task: the true mouth, its detail and its motion, of moved pictures and a little paint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lipserve.lipwarp.geometry import soft_mask
from lipserve_export.lipwarp.renderer_network import LipRenderer
from lipserve_training.lipwarp.compose import Made, compose
from lipserve_training.lipwarp.pairs import Batch
from lipserve_training.lipwarp.perceptual import Perceptual
from lipserve_training.lipwarp.recipes import RendererLosses
from lipserve_training.train.loop import Task

_SHOWN = 12  # frames on a sheet
_LAPLACIAN = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None] / 4
_FAINT = 1e-5  # keeps the slope of a root finite: 0.003 of deviation
_AROUND = 9  # pixels of a window by which the outer lips are widened; what lies outside is skin


class RendererTask(Task[Batch]):
    """Pixels, gradients, texture, motion and what a network sees, all weighted on the mouth.

    Args:
        perceptual: on the device of the run; None where the recipe gives it no weight.
        judged: batches of people that are not trained on, for `validate`.
    """

    network: LipRenderer

    def __init__(
        self, weights: RendererLosses, perceptual: Perceptual | None = None, judged: Sequence[Batch] = ()
    ) -> None:
        self.network = LipRenderer()
        self.companions = nn.ModuleDict()
        self._weights, self._perceptual, self._judged = weights, perceptual, judged
        self._mask = torch.from_numpy(soft_mask())[None, None]

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        made = compose(self.network, batch)
        weight = self._pixels(batch)
        return {**self._likeness(made, batch, weight), **self._restraint(made, batch)}

    def _pixels(self, batch: Batch) -> Tensor:
        """Return the weight [N, 1, S, S] of mean 1: the soft mask, more on the lips, most between them."""
        inner, outer = batch.lips[:, :1], batch.lips[:, 1:]
        weight = self._mask.to(inner.device) * (1 + self._weights.lips * outer + self._weights.teeth * inner)
        return weight / weight.mean()

    def _likeness(self, made: Made, batch: Batch, weight: Tensor) -> dict[str, Tensor]:
        w, picture, truth = self._weights, made.picture, batch.target
        terms: dict[str, Tensor] = {}
        if w.pixels:
            terms["pixels"] = w.pixels * ((picture - truth).abs() * weight).mean()
        if w.gradients:
            across = ((picture - truth).diff(dim=3).abs() * weight[..., 1:]).mean()
            terms["gradients"] = w.gradients * (
                across + ((picture - truth).diff(dim=2).abs() * weight[..., 1:, :]).mean()
            )
        if w.texture:
            unlike = (detail(picture) - detail(truth)).abs() * weight
            terms["texture"] = w.texture * unlike.mean()
        if w.temporal:
            change = (picture[1::2] - picture[::2]) - (truth[1::2] - truth[::2])
            terms["temporal"] = w.temporal * (change.abs() * weight[::2]).mean()
        if w.perceptual and self._perceptual:
            part = slice(None, None, max(1, round(1 / max(w.perceptual_share, 1e-6))))
            seen = self._perceptual(picture[part], truth[part], weight[part])
            terms["perceptual"] = w.perceptual * seen
        return terms

    def _restraint(self, made: Made, batch: Batch) -> dict[str, Tensor]:
        """Return what keeps flows smooth, and each share to where its source knows best."""
        w, mask = self._weights, self._mask.to(made.picture.device)
        inner, outer = batch.lips[:, :1], batch.lips[:, 1:]
        terms: dict[str, Tensor] = {}
        if w.paint:
            off = ((made.painted - batch.target).abs() * inner).sum()
            terms["paint"] = w.paint * off / (inner.sum() * 3 + 1)
        if w.smooth:
            rough = made.flow.diff(dim=2).abs().mean() + made.flow.diff(dim=3).abs().mean()
            terms["smooth"] = w.smooth * rough
        teeth = functional.max_pool2d(inner, 3, 1, 1)
        mouth = functional.max_pool2d(outer, _AROUND, 1, _AROUND // 2)
        mixed = sum((share * (1 - share) * mask).mean() for share in (made.memory, made.paint)) / 2
        shares = (
            w.paint_share * made.paint.mean()
            + w.paint_outside * (made.paint * (1 - teeth) * mask).mean()
            + w.memory_lips * (made.memory * (1 - teeth) * mask).mean()
            + w.memory_outside * (made.memory * (1 - mouth) * mask).mean()
            + w.mixing * mixed
        )
        return {**terms, "shares": shares}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return how far off people held out are, beside what is merely moved."""
        assert isinstance(network, LipRenderer)
        if not self._judged:
            return {}
        device = next(network.parameters()).device
        with torch.no_grad():
            rows = [self._figures(network, batch.to(device)) for batch in self._judged]
        return {f"held_out/{name}": float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def _figures(self, network: LipRenderer, batch: Batch) -> dict[str, float]:
        """Return mean absolute differences in levels of 255, and how much of the truth's detail there is."""
        weight, truth, made = self._pixels(batch), batch.target, compose(network, batch).picture
        change = (made[1::2] - made[::2]) - (truth[1::2] - truth[::2])
        return {
            "pixels": 255 * float(((made - truth).abs() * weight).mean()),
            "pixels_of_moved": 255 * float(((batch.moved - truth).abs() * weight).mean()),
            "temporal": 255 * float((change.abs() * weight[::2]).mean()),
            "detail": float((detail(made) * weight).mean() / (detail(truth) * weight).mean()),
        }

    def sheet(self, batch: Batch, network: nn.Module) -> NDArray[np.uint8]:
        """Return rows of the moved picture, the memory, the result, the truth, and the shares.

        Shares: of the memory in red, of paint in green.
        """
        assert isinstance(network, LipRenderer)
        some = Batch(*(value[:_SHOWN] for value in vars(batch).values()))
        with torch.no_grad():
            made = compose(network, some)
        shares = torch.cat([made.memory, made.paint, torch.zeros_like(made.paint)], 1)
        rows = [
            torch.cat(list(row), 2) for row in (some.moved, some.memory, made.picture, some.target, shares)
        ]
        picture = torch.cat(rows, 1).permute(1, 2, 0)
        return np.asarray((picture * 255).round().clamp(0, 255).byte().cpu().numpy())


def detail(pictures: Tensor) -> Tensor:
    """Return the strength of fine detail [N, 1, S, S]: root mean square of the Laplacian around a pixel."""
    grey = pictures.mean(1, keepdim=True)
    edges = functional.conv2d(grey, _LAPLACIAN.to(grey.device), padding=1)
    return (functional.avg_pool2d(edges**2, 5, 1, 2) + _FAINT).sqrt()
