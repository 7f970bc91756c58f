"""Contracts of the tier wav2lip."""

from __future__ import annotations

from typing import Literal

from lipserve.contracts import clip
from lipserve.contracts.spec import MEL_BINS, Model, Tensor

WAV2LIP_SIZE = 96  # pixels, side of a face crop of the fast tier
Framing = Literal["similarity", "box"]
"""How the crops lie that a generator knows: aligned, or upright boxes that are stretched to a square."""

MEL_COLUMNS = 16  # mel columns that the generator hears for one frame: 0.2 s

WAV2LIP_GENERATOR = Model(
    name="wav2lip_generator",
    kind="leaf",
    inputs=(
        Tensor("MEL", "FP32", (1, MEL_BINS, MEL_COLUMNS)),  # -4..4
        Tensor("FACES", "UINT8", (WAV2LIP_SIZE, WAV2LIP_SIZE, 3)),  # RGB
    ),
    outputs=(Tensor("GENERATED", "UINT8", (WAV2LIP_SIZE, WAV2LIP_SIZE, 3)),),  # RGB
    max_batch_size=64,
    max_queue_delay_us=500,
    embedded_instances=2,
)

WAV2LIP = clip.painting("wav2lip", lambda form: (WAV2LIP_GENERATOR,), tracks=False)
