"""Training task of a student without a teacher: real images and, if given, the expert."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lipserve.contracts import WAV2LIP_SIZE
from lipserve.quality.lips import MEASURES
from lipserve.wav2lip.geometry import soft_mask
from lipserve_export.wav2lip.network import ORIGINAL_WIDTH, Variant, Wav2Lip
from lipserve_training import losses
from lipserve_training.data.sampler import Batch
from lipserve_training.models.expert import Expert
from lipserve_training.models.reader import LipReader
from lipserve_training.train.recipe import Losses, Network
from lipserve_training.train.windows import WINDOW, WindowTask

_SHEET_CLIPS = 8
_EMBEDDING = 512  # of the original's speech
_LIPS_HEIGHT, _LIPS_WIDTH = 0.69, 0.14  # of the crop: where they meet in speech, and their deviation


def build(network: Network) -> Wav2Lip:
    """Return a fresh generator of the recipe's size; random numbers are torch's."""
    return Wav2Lip(Variant(round(network.width * ORIGINAL_WIDTH), network.residual))


def pixel_weight(mouth: float, lips: float = 0.0) -> Tensor:
    """Return the weight [96, 96] of mean 1.

    Args:
        mouth: share of it that lies on the mask that the server pastes through.
        lips: share of it that lies on an ellipse around the lips.
    """
    mask = torch.from_numpy(soft_mask())
    at = (torch.arange(WAV2LIP_SIZE) + 0.5) / WAV2LIP_SIZE
    across, down = (at - 0.5) / _LIPS_WIDTH, (at - _LIPS_HEIGHT) / _LIPS_WIDTH
    ellipse = torch.exp(-0.5 * (across[None, :] ** 2 + 2 * down[:, None] ** 2))
    return (1 - mouth - lips) + mouth * mask / mask.mean() + lips * ellipse / ellipse.mean()


class Student(WindowTask):
    """L1 and SSIM against the true picture, and sync.

    Args:
        expert: judges sync; it is frozen, in inference mode, and on the device of the run.
    """

    network: Wav2Lip

    def __init__(self, network: Wav2Lip, weights: Losses, expert: Expert | None = None) -> None:
        self.network = network
        self.companions = nn.ModuleDict()
        if weights.motion:
            self.companions["motion"] = nn.Linear(
                _EMBEDDING * network.variant.width // ORIGINAL_WIDTH, len(MEASURES)
            )
        if weights.reading:
            self.companions["reader"] = LipReader()
        self._weights = weights
        self._expert = expert.eval().requires_grad_(False) if expert else None
        self._pixels = pixel_weight(weights.mouth, weights.lips)

    def window(self, progress: float) -> int:
        return WINDOW if self._hears(progress) else 1

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        logits = self.network.logits(batch.mel.flatten(0, 1), batch.faces.flatten(0, 1))
        return self._terms(torch.sigmoid(logits.float()), batch, progress)

    def _terms(self, made: Tensor, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the weighted terms of pictures [B T, 3, 96, 96]."""
        return {
            **self._pixel_terms(made, batch),
            **self._motion_term(batch),
            **self._reading_terms(made, batch),
            **self._sync_term(made, batch, progress),
        }

    def _pixel_terms(self, made: Tensor, batch: Batch) -> dict[str, Tensor]:
        truth = batch.target.flatten(0, 1)
        pixels = self._pixels.to(made.device)
        w, terms = self._weights, {}
        if w.l1:
            terms["l1"] = w.l1 * losses.weighted_l1(made, truth, pixels)
        if w.ssim:
            terms["ssim"] = w.ssim * losses.ssim_loss(made, truth, pixels)
        if w.texture:
            terms["texture"] = w.texture * losses.texture_loss(made, truth, pixels)
        return terms

    def _motion_term(self, batch: Batch) -> dict[str, Tensor]:
        if not self._weights.motion:
            return {}
        heard = self.network.audio_encoder(batch.mel.flatten(0, 1)).flatten(1)
        error = functional.mse_loss(self.companions["motion"](heard), batch.lips.flatten(0, 1))
        return {"motion": self._weights.motion * error}

    def _reading_terms(self, made: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The reader learns from the true pictures only, the generator from what it sees in the made ones."""
        if not self._weights.reading:
            return {}
        reader, lips = self.companions["reader"], batch.lips.flatten(0, 1)
        half = WAV2LIP_SIZE // 2
        frozen = {name: value.detach() for name, value in reader.named_parameters()}
        seen = torch.func.functional_call(reader, frozen, (made[:, :, half:],))
        truth = reader(batch.target.flatten(0, 1)[:, :, half:])
        return {
            "reading": self._weights.reading * functional.mse_loss(seen.float(), lips),
            "reader": self._weights.reading * functional.mse_loss(truth.float(), lips),
        }

    def _sync_term(self, made: Tensor, batch: Batch, progress: float) -> dict[str, Tensor]:
        if self._expert is None or not self._hears(progress):
            return {}
        lips = losses.lower_halves(made.reshape(batch.target.shape))
        return {"sync": self._weights.sync * losses.sync_loss(self._expert(batch.mel[:, 0], lips))}

    def sheet(self, batch: Batch, network: nn.Module) -> NDArray[np.uint8]:
        return sheet(batch, network)

    def _hears(self, progress: float) -> bool:
        return self._expert is not None and self._weights.sync > 0 and progress >= self._weights.sync_from


def sheet(batch: Batch, network: nn.Module) -> NDArray[np.uint8]:
    """Return rows of input, reference, result and truth, a column for each clip, uint8 [H, W, 3] RGB."""
    with torch.no_grad():
        faces, truth = batch.faces[:_SHEET_CLIPS, 0], batch.target[:_SHEET_CLIPS, 0]
        made = network(batch.mel[:_SHEET_CLIPS, 0], faces)
    rows = [torch.cat(list(row), 2) for row in (faces[:, :3], faces[:, 3:], made.float(), truth)]
    picture = torch.cat(rows, 1).flip(0).permute(1, 2, 0)  # BGR to RGB
    return (picture * 255).round().clamp(0, 255).byte().cpu().numpy()
