"""Adapter of the stage `latentsync_generate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipserve_server.inside.backend import StageModel, Value
from lipserve_server.inside.stages.latentsync_generate import LatentSyncGenerate


class TritonPythonModel(StageModel):
    """FACES, AUDIO, FRAMES, TRACKS, OPTIONS -> FACES whose lips follow the speech."""

    def start(self) -> None:
        self._stage = LatentSyncGenerate(self.repository, self.leaves, self.observer)

    def serve(self, inputs: dict[str, Any]) -> Mapping[str, Value]:
        return self._stage(
            inputs["FACES"], inputs["AUDIO"], inputs["FRAMES"], inputs["TRACKS"], inputs["OPTIONS"]
        )
