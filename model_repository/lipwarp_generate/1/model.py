"""Adapter of the stage `lipwarp_generate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipserve.lipwarp.render import Mouths
from lipserve_server.inside.backend import StageModel, Value
from lipserve_server.inside.stages.lipwarp_generate import LipwarpGenerate


class TritonPythonModel(StageModel):
    """Mouths, speech and SOURCE -> flows, shares and paint."""

    def start(self) -> None:
        self._stage = LipwarpGenerate(self.leaves, self.observer)

    def serve(self, inputs: dict[str, Any]) -> Mapping[str, Value]:
        mouths = Mouths(inputs["FACES"], inputs["POINTS"], inputs["SHAPES"], inputs["POSES"])
        rest = (inputs[name] for name in ("AUDIO", "FRAMES", "TRACKS", "SOURCE", "OPTIONS"))
        return self._stage(mouths, *rest)
