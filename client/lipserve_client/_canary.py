"""One small request through every model: readiness stays true where a Python process is dead."""

from __future__ import annotations

import time
from collections.abc import Mapping

import cv2
import numpy as np

from lipserve import audio
from lipserve.contracts import LEAVES, NUMPY, POSTPROCESS, PREPROCESS, SAMPLE_RATE, WAV2LIP, WAV2LIP_GENERATE
from lipserve.contracts import Model as ModelContract
from lipserve.errors import LipServeError
from lipserve_client._connection import Connection
from lipserve_client._results import ModelHealth
from lipserve_client._transports import Answer, Call, Expected
from lipserve_client._transports.base import Value
from lipserve_client._transports.inband import InBand

CANARY_SECONDS = 20.0  # the longest wait for one answer
_FRAMES = 4
_FPS = 25
_FACE = 96  # pixels
_MOST_CALLS = 16


class Canary:
    """Calls each model of one server by itself, so that what fails has a name.

    Each is called once for every instance: Triton gives an idle model's instances their requests in turn.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transport = InBand(connection)
        speech = np.zeros(_FRAMES * SAMPLE_RATE // _FPS, dtype=np.float32)
        picture = cv2.imencode(".png", np.full((128, 128, 3), 127, np.uint8))[1]
        self._clip: dict[str, Value] = {
            "VIDEO": picture.tobytes(),
            "AUDIO": audio.wav(speech),
            "OPTIONS": b'{"on_no_face": "passthrough"}',
        }
        self._faces: dict[str, Value] = {
            "FACES": np.full((_FRAMES, _FACE, _FACE, 3), 127, np.uint8),
            "AUDIO": speech,
        }

    async def run(self, names: set[str]) -> tuple[ModelHealth, ...]:
        """Return how each of the models `names` is, in the order of a request's way through them."""
        healths: list[ModelHealth] = []
        flow: Answer = {}
        for model in (*LEAVES, PREPROCESS, WAV2LIP_GENERATE, POSTPROCESS, WAV2LIP):
            if model.name not in names:
                continue
            try:
                inputs = self._inputs(model, flow)
            except KeyError:
                healths.append(ModelHealth(model.name, 0.0, "not asked: preprocess gave it nothing to do"))
                continue
            health, answer = await self._call(model, inputs)
            healths.append(health)
            if model is PREPROCESS:
                flow = answer
        return tuple(healths)

    def _inputs(self, model: ModelContract, flow: Mapping[str, Value]) -> dict[str, Value]:
        if model in LEAVES:
            return {
                tensor.name: np.zeros((1, *tensor.dims), dtype=NUMPY[tensor.dtype]) for tensor in model.inputs
            }
        if model is WAV2LIP_GENERATE:
            return self._faces
        if model is POSTPROCESS:
            given = {**flow, "VIDEO": self._clip["VIDEO"], "AUDIO": self._clip["AUDIO"]}
            return {tensor.name: given[tensor.name] for tensor in model.inputs}
        return self._clip

    async def _call(self, model: ModelContract, inputs: dict[str, Value]) -> tuple[ModelHealth, Answer]:
        call = Call(model.name, inputs, {tensor.name: Expected(tensor.dtype) for tensor in model.outputs})
        answer: Answer = {}
        began = time.perf_counter()
        try:
            for _ in range(await self._instances(model.name)):
                answer = await self._transport.infer(call, CANARY_SECONDS)
        except LipServeError as error:
            return ModelHealth(model.name, time.perf_counter() - began, str(error)), {}
        return ModelHealth(model.name, time.perf_counter() - began), answer

    async def _instances(self, name: str) -> int:
        try:
            answer = await self._connection.ask("get_model_config", name)
        except LipServeError:  # the server may keep its configuration to itself
            return 1
        instances = sum(int(group.count) for group in answer.config.instance_group)
        return min(_MOST_CALLS, max(1, instances))
