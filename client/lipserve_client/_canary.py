"""One small request through every model: readiness stays true where a Python process is dead."""

from __future__ import annotations

import time
from collections.abc import Mapping

import cv2
import numpy as np

from lipserve import audio
from lipserve.contracts import NUMPY, POSTPROCESS, SAMPLE_RATE, TIERS, WAV2LIP_SIZE, Tier, of_tier
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
_LARGE = "FEATURES"  # an output that need not travel
_MOST_CALLS = 16


class Canary:
    """Calls each model of one server by itself, so that what fails has a name.

    Each is called once for every instance: Triton gives an idle model's instances their requests in turn.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transport = InBand(connection)
        self._speech = np.zeros(_FRAMES * SAMPLE_RATE // _FPS, dtype=np.float32)
        picture = cv2.imencode(".png", np.full((128, 128, 3), 127, np.uint8))[1]
        self._clip: dict[str, Value] = {
            "VIDEO": picture.tobytes(),
            "AUDIO": audio.wav(self._speech),
            "OPTIONS": b'{"on_no_face": "passthrough"}',
        }

    async def run(self, names: set[str]) -> tuple[ModelHealth, ...]:
        """Return how each of the models `names` is, in the order of a request's way through them."""
        healths: dict[str, ModelHealth] = {}
        for tier in TIERS:
            flow: Answer = {}
            path = of_tier(tier)
            (first,) = (model for model in path if model.name.endswith("preprocess"))
            for model in path:
                if model.name not in names or model.name in healths:
                    continue
                if model is POSTPROCESS and first.name not in names:
                    continue  # the tier is not held: another one's way leads there
                try:
                    inputs = await self._inputs(model, tier, flow)
                except KeyError:
                    healths[model.name] = ModelHealth(
                        model.name, 0.0, "not asked: preprocess gave it nothing to do"
                    )
                    continue
                except LipServeError as error:
                    healths[model.name] = ModelHealth(model.name, 0.0, str(error))
                    continue
                healths[model.name], answer = await self._call(model, inputs)
                if "PLAN" in answer:
                    flow = answer
        return tuple(healths.values())

    async def _inputs(self, model: ModelContract, tier: Tier, flow: Mapping[str, Value]) -> dict[str, Value]:
        """Return what to ask a model with; KeyError where that is the answer of one that gave none."""
        if model.kind == "leaf":
            shapes = await self._shapes(model.name)
            return {
                tensor.name: np.zeros(shapes[tensor.name], dtype=NUMPY[tensor.dtype])
                for tensor in model.inputs
            }
        if model.name == f"{tier}_generate":
            return await self._faces(tier)
        if model is POSTPROCESS:
            given = {**flow, "VIDEO": self._clip["VIDEO"], "AUDIO": self._clip["AUDIO"]}
            return {tensor.name: given[tensor.name] for tensor in model.inputs}
        return self._clip

    async def _faces(self, tier: Tier) -> dict[str, Value]:
        """Return what to ask a generate stage with: a few grey faces, of the size that the tier has here."""
        options: dict[str, Value] = {}
        side = WAV2LIP_SIZE
        if tier == "latentsync":
            options["OPTIONS"] = b'{"steps": 1}'
            side = (await self._shapes("vae_encoder"))["IMAGES"][-1]
        return {"FACES": np.full((_FRAMES, side, side, 3), 127, np.uint8), "AUDIO": self._speech, **options}

    async def _shapes(self, leaf: str) -> dict[str, tuple[int, ...]]:
        """Return the shapes of a leaf's inputs for one item: the server knows what it was exported for."""
        metadata = await self._connection.ask("get_model_metadata", leaf)
        return {entry.name: tuple(max(1, size) for size in entry.shape) for entry in metadata.inputs}

    async def _call(self, model: ModelContract, inputs: dict[str, Value]) -> tuple[ModelHealth, Answer]:
        outputs = {t.name: Expected(t.dtype) for t in model.outputs if t.name != _LARGE}
        call = Call(model.name, inputs, outputs)
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
