"""Adapter of the stage `wav2lip_generate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipserve_server.inside.backend import StageModel, Value
from lipserve_server.inside.stages.wav2lip_generate import Wav2LipGenerate


class TritonPythonModel(StageModel):
    """FACES, AUDIO, FRAMES, OPTIONS -> FACES whose lips follow the speech."""

    def start(self) -> None:
        self._stage = Wav2LipGenerate(self.repository, self.leaves, self.observer)

    def serve(self, inputs: dict[str, Any]) -> Mapping[str, Value]:
        return self._stage(inputs["FACES"], inputs["AUDIO"], inputs["FRAMES"], inputs["OPTIONS"])
