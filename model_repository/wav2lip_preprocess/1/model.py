"""Adapter of the stage `wav2lip_preprocess`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipserve.tiers import WAV2LIP
from lipserve_server.account import read_crops
from lipserve_server.backend import StageModel, Value
from lipserve_server.stages.preprocess import Preprocess


class TritonPythonModel(StageModel):
    """VIDEO, AUDIO, OPTIONS -> face crops, where they lie, the speech, and the plan."""

    reads_files = True

    def start(self) -> None:
        crops = read_crops(self.repository, WAV2LIP)
        self._stage = Preprocess(WAV2LIP, self.leaves, self.observer, crops)

    def serve(self, inputs: dict[str, Any]) -> Mapping[str, Value]:
        return self._stage(inputs["VIDEO"], inputs["AUDIO"], inputs["OPTIONS"])
