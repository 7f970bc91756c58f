"""Training task of a student with a teacher: objective of the compressed Wav2Lip (Kim et al., 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipserve_export.wav2lip.network import Wav2Lip
from lipserve_training import distillation, losses
from lipserve_training.data.sampler import Batch
from lipserve_training.models.expert import Expert
from lipserve_training.models.vgg import Vgg
from lipserve_training.train.recipe import Losses
from lipserve_training.train.student import Student


class DistilledStudent(Student):
    """The losses on a teacher's picture and decoder features, beside those of a student without a teacher.

    Args:
        teacher: is frozen, in inference mode, and on the device of the run.
        vgg: for the feature and the style loss; on the same device.
    """

    def __init__(
        self, network: Wav2Lip, weights: Losses, teacher: Wav2Lip, vgg: Vgg | None, expert: Expert | None
    ) -> None:
        super().__init__(network, weights, expert)
        self._teacher = teacher.eval().requires_grad_(False)
        self._vgg = vgg
        if weights.channel:
            self.companions["adapters"] = distillation.adapters(network, teacher)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        mel, faces = batch.mel.flatten(0, 1), batch.faces.flatten(0, 1)
        features, logits = self.network.features_and_logits(mel, faces)
        made = torch.sigmoid(logits.float())
        with torch.no_grad():
            model_features, model_logits = self._teacher.features_and_logits(mel, faces)
            model = torch.sigmoid(model_logits.float())
        terms = self._terms(made, batch, progress)
        if self._weights.channel:
            maps = self.companions["adapters"]
            assert isinstance(maps, nn.ModuleList)
            terms["channel"] = self._weights.channel * distillation.channel_loss(
                maps, features, model_features
            )
        return {**terms, **self._picture_terms(made, model)}

    def _picture_terms(self, made: Tensor, model: Tensor) -> dict[str, Tensor]:
        w, terms = self._weights, {}
        if w.teacher_ssim:
            terms["teacher_ssim"] = w.teacher_ssim * losses.ssim_loss(made, model)
        if w.tv:
            terms["tv"] = w.tv * distillation.total_variation(made)
        if self._vgg:
            taps = self._vgg(made)
            with torch.no_grad():
                model_taps = self._vgg(model)
            if w.feature:
                terms["feature"] = w.feature * distillation.feature_loss(taps, model_taps)
            if w.style:
                terms["style"] = w.style * distillation.style_loss(taps, model_taps)
        return terms
