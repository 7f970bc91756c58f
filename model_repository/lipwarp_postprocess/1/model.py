"""Adapter of the stage `lipwarp_postprocess`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipserve_server.inside.backend import StageModel, Value
from lipserve_server.inside.stages.lipwarp_postprocess import LipwarpPostprocess


class TritonPythonModel(StageModel):
    """The video and what moves its mouths -> the result and its report."""

    reads_files = encodes = True

    def start(self) -> None:
        self._stage = LipwarpPostprocess(self.repository, self.leaves, self.observer)

    def serve(self, inputs: dict[str, Any]) -> Mapping[str, Value]:
        places = (inputs[name] for name in ("TRANSFORMS", "WEIGHTS", "FRAMES", "SOURCE", "CONTEXT"))
        return self._stage(inputs["VIDEO"], inputs["AUDIO"], inputs, *places)
