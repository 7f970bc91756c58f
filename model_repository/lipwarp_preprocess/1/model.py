"""Adapter of the stage `lipwarp_preprocess`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipserve.tiers import LIPWARP
from lipserve_server.inside.backend import StageModel, Value
from lipserve_server.inside.stages.lipwarp_preprocess import LipwarpPreprocess
from lipserve_server.inside.stages.preprocess import Preprocess


class TritonPythonModel(StageModel):
    """VIDEO, AUDIO, OPTIONS, SOURCE -> mouth crops, where they lie, the speech, and the request's CONTEXT."""

    reads_files = True

    def start(self) -> None:
        self._stage = LipwarpPreprocess(Preprocess(LIPWARP, self.leaves, self.observer, hears=True))

    def serve(self, inputs: dict[str, Any]) -> Mapping[str, Value]:
        return self._stage(inputs["VIDEO"], inputs["AUDIO"], inputs["OPTIONS"], inputs["SOURCE"])
