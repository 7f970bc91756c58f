"""Training task of the lip-sync expert: tell speech of the same moment from speech of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lipserve_training import losses
from lipserve_training.data.sampler import Batch
from lipserve_training.models.expert import Expert, agreement
from lipserve_training.train.windows import WINDOW, WindowTask

_STRANGERS = 4  # one in so many negatives is heard in another clip


class ExpertTask(WindowTask):
    """Binary cross entropy of every window with its own speech, and with that of another moment.

    Most of the other moments are of the same clip, so that neither voice nor face tells anything.

    Args:
        held_out: batches of clips that are not trained on, for `validate`.
    """

    network: Expert

    def __init__(self, network: Expert, held_out: Sequence[Batch] = ()) -> None:
        self.network = network
        self.companions = nn.ModuleDict()
        self._held_out = held_out
        self._accuracy = 0.0

    def window(self, progress: float) -> int:
        return WINDOW

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        cosine, together = _compare(self.network, batch)
        self._accuracy = _accuracy(cosine, together)
        return {"sync": losses.sync_loss(cosine, together)}

    def after_step(self, batch: Batch) -> dict[str, float]:
        return {"accuracy": self._accuracy}

    def validate(self, network: nn.Module) -> dict[str, float]:
        if not self._held_out:
            return {}
        assert isinstance(network, Expert)
        device = next(network.parameters()).device
        with torch.no_grad():
            pairs = [_compare(network, batch.to(device)) for batch in self._held_out]
        cosine, together = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        return {
            "held_out/sync": float(losses.sync_loss(cosine, together)),
            "held_out/accuracy": _accuracy(cosine, together),
        }

    def sheet(self, batch: Batch, network: nn.Module) -> NDArray[np.uint8]:
        """Return the mouths of the batch, a row for each window of five frames."""
        halves = batch.target[:, :, :, batch.target.shape[3] // 2 :]
        picture = torch.cat([torch.cat(list(window), 2) for window in halves], 1)
        return (picture.flip(0).permute(1, 2, 0) * 255).round().clamp(0, 255).byte().cpu().numpy()


def _compare(expert: Expert, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return cosines [2 B], and 1 for those that belong together, 0 for the others."""
    other = batch.other_mel
    strangers = torch.arange(len(other), device=other.device) % _STRANGERS == _STRANGERS - 1
    other = torch.where(strangers[:, None, None, None], other.roll(1, 0), other)
    lips = expert.look(losses.lower_halves(batch.target))
    speech = expert.listen(torch.cat([batch.mel[:, 0], other]))
    cosine = agreement(speech, lips.repeat(2, 1))
    return cosine, torch.arange(2, device=other.device).sub(1).neg().repeat_interleave(len(lips))


def _accuracy(cosine: Tensor, together: Tensor) -> float:
    """Return the share of windows that agree with their own speech more than with the other."""
    own, other = cosine.detach()[together == 1], cosine.detach()[together == 0]
    return float((own > other).float().mean())
