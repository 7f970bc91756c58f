"""Adapter of the stage `lipwarp_prepare`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipserve_server.inside.backend import StageModel, Value
from lipserve_server.inside.stages.lipwarp_prepare import LipwarpPrepare


class TritonPythonModel(StageModel):
    """Stretches of a VIDEO -> SOURCE."""

    reads_files = True

    def start(self) -> None:
        self._stage = LipwarpPrepare(self.leaves)

    def serve(self, inputs: dict[str, Any]) -> Mapping[str, Value]:
        return self._stage(inputs["VIDEO"], inputs["OPTIONS"])
