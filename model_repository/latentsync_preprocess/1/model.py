"""Adapter of the stage `latentsync_preprocess`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipserve.tiers import LATENTSYNC, LIPWARP
from lipserve_server.inside.backend import StageModel, Value
from lipserve_server.inside.stages.preprocess import Preprocess
from lipserve_server.repository.manifest import read_crops
from lipserve_server.repository.models import missing_leaves


class TritonPythonModel(StageModel):
    """VIDEO, AUDIO, OPTIONS -> face crops, where they lie, the speech, and the request's CONTEXT."""

    reads_files = True

    def start(self) -> None:
        crops = read_crops(self.repository, LATENTSYNC)
        hears = not missing_leaves(self.repository, LIPWARP.name)
        self._stage = Preprocess(LATENTSYNC, self.leaves, self.observer, crops, hears)

    def serve(self, inputs: dict[str, Any]) -> Mapping[str, Value]:
        return self._stage(inputs["VIDEO"], inputs["AUDIO"], inputs["OPTIONS"])
