"""Adapter of the stage `latentsync_preprocess`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipserve.tiers import LATENTSYNC
from lipserve_server.account import read_crops
from lipserve_server.backend import StageModel, Value
from lipserve_server.stages.preprocess import Preprocess


class TritonPythonModel(StageModel):
    """VIDEO, AUDIO, OPTIONS -> face crops, where they lie, the speech, and the plan."""

    reads_files = True

    def start(self) -> None:
        crops = read_crops(self.repository, LATENTSYNC)
        self._stage = Preprocess(LATENTSYNC, self.leaves, self.observer, crops)

    def serve(self, inputs: dict[str, Any]) -> Mapping[str, Value]:
        return self._stage(inputs["VIDEO"], inputs["AUDIO"], inputs["OPTIONS"])
