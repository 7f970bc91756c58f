"""The same stages without a server: the yardstick for what Triton and gRPC cost."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lipserve_client._connection import Connection
from lipserve_client._transports import Answer, Call, Transport
from lipserve_server.leaves import OnnxLeaves
from lipserve_server.stages.generate import Wav2LipGenerate
from lipserve_server.stages.postprocess import Postprocess
from lipserve_server.stages.preprocess import Preprocess


class InProcess(Transport):
    """Runs each request through the three stages, in a thread of this process."""

    def __init__(self, connection: Connection, repository: Path) -> None:
        super().__init__(connection)
        leaves = OnnxLeaves(repository)
        self._preprocess = Preprocess(leaves)
        self._generate = Wav2LipGenerate(repository, leaves)
        self._postprocess = Postprocess(repository)

    async def infer(self, call: Call, timeout: float) -> Answer:
        return await asyncio.to_thread(self._run, call)

    def _run(self, call: Call) -> Answer:
        video, audio, options = (bytes(call.inputs[name]) for name in ("VIDEO", "AUDIO", "OPTIONS"))
        before = self._preprocess(video, audio, options)
        faces = self._generate(
            before["FACES"], before["SPEECH"], before["FRAMES"], before["GENERATE_OPTIONS"]
        )["FACES"]
        rows = (before["TRANSFORMS"], before["WEIGHTS"], before["FRAMES"], before["PLAN"])
        return {**self._postprocess(video, audio, faces, *rows)}
