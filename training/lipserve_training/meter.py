"""The lip-sync meter of `lipserve.quality.agreement`, on the networks that come with LipServe."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lipserve.audio.mel import whisper_peak
from lipserve.quality import agreement
from lipserve.quality.lips import MAX_LAG, Series
from lipserve.verdict import Verdict
from lipserve_export.fetch import shipped as weights
from lipserve_export.fetch.files import shipped_file
from lipserve_export.graphs.whisper import SpeechEncoder
from lipserve_export.lipwarp.motion_network import LipMotion


class Meter:
    """Hears lip measures in a speech.

    Attributes:
        digest: of its networks.
    """

    def __init__(self) -> None:
        networks = (("speech_encoder", SpeechEncoder()), ("lip_motion", LipMotion()))
        loaded = {name: weights.load(shipped_file(f"{name}.safetensors"), net) for name, net in networks}
        self._networks = {name: network for name, (network, _) in loaded.items()}
        self.digest = hashlib.sha256("".join(digest for _, digest in loaded.values()).encode()).hexdigest()

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return what a leaf of the tier gives: this is a `lipserve.leaves.Leaves`."""
        ((_, given),) = inputs.items()
        with torch.inference_mode():
            made = self._networks[model](torch.from_numpy(given)).numpy()
        return {"STATES" if model == "speech_encoder" else "SHAPES": made}

    def predict(self, samples: NDArray[np.float32], frames: int) -> Series:
        """Return the lip measures [F, 4], each up to its mean, that a speech asks for at 25 fps."""
        peak, count = whisper_peak(samples), len(samples)
        return agreement.wanted(self, samples, 0, count, peak, np.arange(frames))

    def judge(self, lips: Series, samples: NDArray[np.float32], max_lag: int = MAX_LAG) -> Verdict:
        """Return how well the lips [F, 4] at 25 fps fit the speech; what is no speech fits nothing."""
        return agreement.judge(lips, self.predict(samples, len(lips)), max_lag)


@cache
def shipped() -> Meter:
    """Return the meter of the networks that come with LipServe."""
    return Meter()
