"""Training task of the teacher: real images, the expert and, if wanted, a discriminator."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lipserve_export.wav2lip.network import Wav2Lip
from lipserve_training.data.sampler import Batch
from lipserve_training.models.discriminator import Discriminator
from lipserve_training.models.expert import Expert
from lipserve_training.train.loop import mixed_precision
from lipserve_training.train.recipe import GeneratorRecipe
from lipserve_training.train.student import Student


class Teacher(Student):
    """The losses of a student on true pictures, and binary cross entropy with a quality discriminator.

    Args:
        adversary: learns along, by an optimiser of its own with the recipe's first rate; it is on the device
            of the run.
    """

    def __init__(
        self,
        network: Wav2Lip,
        recipe: GeneratorRecipe,
        expert: Expert | None,
        adversary: Discriminator | None,
    ) -> None:
        super().__init__(network, recipe.losses, expert)
        self._adversary = adversary
        self._made: Tensor | None = None
        if adversary:
            run = recipe.run
            self._optimizer = torch.optim.Adam(adversary.parameters(), run.learning_rate, run.betas)

    def _terms(self, made: Tensor, batch: Batch, progress: float) -> dict[str, Tensor]:
        terms = super()._terms(made, batch, progress)
        if self._adversary:
            self._adversary.requires_grad_(False)
            self._made = _lower(made)
            terms["adversarial"] = self._weights.adversarial * _cross_entropy(
                self._adversary(self._made), real=True
            )
        return terms

    def after_step(self, batch: Batch) -> dict[str, float]:
        """Teach the adversary to tell what the generator just made from the truth."""
        if not self._adversary or self._made is None:
            return {}
        self._adversary.requires_grad_(True)
        with mixed_precision(self._made.device):
            loss = _cross_entropy(self._adversary(_lower(batch.target.flatten(0, 1))), real=True)
            loss = loss + _cross_entropy(self._adversary(self._made.detach()), real=False)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return {"adversary": float(loss.detach())}

    def state(self) -> dict[str, object]:
        if not self._adversary:
            return {}
        return {"adversary": self._adversary.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state(self, state: dict[str, dict[str, object]]) -> None:
        if self._adversary:
            self._adversary.load_state_dict(state["adversary"])
            self._optimizer.load_state_dict(state["optimizer"])
        else:
            super().load_state(state)


def _lower(pictures: Tensor) -> Tensor:
    return pictures[:, :, pictures.shape[2] // 2 :]


def _cross_entropy(logits: Tensor, real: bool) -> Tensor:
    wanted = torch.ones_like(logits) if real else torch.zeros_like(logits)
    return functional.binary_cross_entropy_with_logits(logits.float(), wanted.float())
