"""Choice of the framing: the crops that a generator of the Wav2Lip family was trained on."""

from __future__ import annotations

from collections.abc import Mapping

from lipserve.contracts import WAV2LIP_SIZE, Framing
from lipserve.wav2lip.box import Box
from lipserve.wav2lip.geometry import Similarity

GEOMETRIES: Mapping[Framing, Similarity | Box] = {
    "similarity": Similarity(WAV2LIP_SIZE),
    "box": Box(WAV2LIP_SIZE),
}
"""The geometry of each framing: it cuts crops and pastes them back."""
