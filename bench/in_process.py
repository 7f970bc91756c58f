"""The same stages without a server: the yardstick for what Triton and gRPC cost."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lipserve.tiers import WAV2LIP
from lipserve_client._connection import Connection
from lipserve_client._transports import Answer, Call, Transport
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.postprocess import Postprocess
from lipserve_server.inside.stages.preprocess import Preprocess
from lipserve_server.inside.stages.wav2lip_generate import Wav2LipGenerate


class InProcess(Transport):
    """Runs each request through the three stages of the tier `wav2lip`, in a thread of this process."""

    def __init__(self, connection: Connection, repository: Path) -> None:
        super().__init__(connection)
        leaves = OnnxLeaves(repository)
        self._preprocess = Preprocess(WAV2LIP, leaves)
        self._generate = Wav2LipGenerate(repository, leaves)
        self._postprocess = Postprocess(repository, leaves)

    async def infer(self, call: Call, timeout: float) -> Answer:
        return await asyncio.to_thread(self._run, call)

    def _run(self, call: Call) -> Answer:
        video, audio, options = (bytes(call.inputs[name]) for name in ("VIDEO", "AUDIO", "OPTIONS"))
        before = self._preprocess(video, audio, options)
        faces = self._generate(
            before["FACES"], before["SPEECH"], before["FRAMES"], before["GENERATE_OPTIONS"]
        )["FACES"]
        rows = (before["TRANSFORMS"], before["WEIGHTS"], before["FRAMES"], before["CONTEXT"])
        return {**self._postprocess(video, audio, faces, *rows)}
