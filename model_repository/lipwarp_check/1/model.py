"""Adapter of the stage `lipwarp_check`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipserve_server.inside.backend import StageModel, Value
from lipserve_server.inside.stages.lipwarp_check import LipwarpCheck


class TritonPythonModel(StageModel):
    """Frames of a VIDEO, and AUDIO -> MEASURES."""

    reads_files = True

    def start(self) -> None:
        self._stage = LipwarpCheck(self.leaves)

    def serve(self, inputs: dict[str, Any]) -> Mapping[str, Value]:
        return self._stage(inputs["VIDEO"], inputs["AUDIO"], inputs["OPTIONS"])
