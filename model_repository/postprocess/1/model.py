"""Adapter of the stage `postprocess`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipserve_server.inside.backend import StageModel, Value
from lipserve_server.inside.stages.postprocess import Postprocess


class TritonPythonModel(StageModel):
    """The source and its new faces -> RESULT, REPORT."""

    reads_files = encodes = True

    def start(self) -> None:
        self._stage = Postprocess(self.repository, self.leaves, self.observer)

    def serve(self, inputs: dict[str, Any]) -> Mapping[str, Value]:
        return self._stage(
            inputs["VIDEO"],
            inputs["AUDIO"],
            inputs["FACES"],
            inputs["TRANSFORMS"],
            inputs["WEIGHTS"],
            inputs["FRAMES"],
            inputs["CONTEXT"],
        )
