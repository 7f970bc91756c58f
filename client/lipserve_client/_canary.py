"""Deep health check: one small request to every model, as Triton reports a dead Python process as ready."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping

import numpy as np

from lipserve import audio
from lipserve.contracts import COMPLETE, NUMPY, SAMPLE_RATE, Form, Step, of_tier
from lipserve.contracts import Model as ModelContract
from lipserve.errors import InternalError, LipServeError
from lipserve.options.consent import TRIAL
from lipserve.tiers import TIERS, CropForm, Tier
from lipserve_client._connection import Connection
from lipserve_client._profiling.profile import form_of
from lipserve_client._results import ModelHealth
from lipserve_client._samples import PORTRAIT
from lipserve_client._transports import Answer, Call, Expected
from lipserve_client._transports.base import Value
from lipserve_client._transports.inband import InBand

CANARY_SECONDS = 20.0  # the longest wait for one answer
_FRAMES = 4
_FPS = 25
_LARGE = "FEATURES"  # an output that need not travel
_MOST_CALLS = 16
_MOST_NUMBERS = 2**27  # of one input; FEATURES of the quality tier at full width are 42 million


class Canary:
    """Calls each model of one server separately, so that a failure names its model.

    Each is called once for every instance: Triton gives an idle model's instances their requests in turn.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transport = InBand(connection)
        self._speech = np.zeros(_FRAMES * SAMPLE_RATE // _FPS, dtype=np.float32)

    async def run(self, names: set[str]) -> tuple[ModelHealth, ...]:
        """Return the health of each of the models `names`, in the order of the pipeline."""
        healths: dict[str, ModelHealth] = {}
        for tier in TIERS.values():
            steps = {step.model: step for step in tier.pipeline.ensemble.steps}
            held = next(iter(steps)) in names
            flowing = self._clip(tier)
            for model in of_tier(tier.name, COMPLETE):
                if model.name not in names or model.name in healths:
                    continue
                if model.kind == "stage" and not held:
                    continue  # another tier's way leads there
                try:
                    health, given = await self._ask(model, tier, steps.get(model.name), flowing)
                except KeyError:
                    reason = "not asked: the stages before it gave it nothing to do"
                    health, given = ModelHealth(model.name, 0.0, reason), {}
                except LipServeError as error:
                    health, given = ModelHealth(model.name, 0.0, str(error)), {}
                healths[model.name] = health
                flowing |= given
        return tuple(healths.values())

    def _clip(self, tier: Tier) -> dict[str, Value]:
        """Return the ensemble's inputs, the first tensors of the pipeline: a silent face."""
        consent = TRIAL.model_dump(mode="json")
        options = {**tier.least, "on_no_face": "passthrough", "consent": consent}
        return {
            "VIDEO": PORTRAIT.read_bytes(),
            "AUDIO": audio.wav(self._speech),
            "OPTIONS": json.dumps(options).encode(),
        }

    async def _ask(
        self, model: ModelContract, tier: Tier, step: Step | None, flowing: Mapping[str, Value]
    ) -> tuple[ModelHealth, Answer]:
        """Return a model's health, and add its outputs to the tensors; KeyError if an input is missing."""
        if model.kind == "leaf":
            shapes = await self._shapes(model.name)
            zeros = {t.name: np.zeros(shapes[t.name], NUMPY[t.dtype]) for t in model.inputs}
            return (await self._call(model, zeros))[0], {}
        if model.kind == "ensemble":
            return (await self._call(model, self._clip(tier)))[0], {}
        if step is None:  # clients call it before the ensemble
            needed = {t.name: flowing[t.name] for t in model.inputs if not t.optional}
            return (await self._call(model, needed))[0], {}
        if model == tier.pipeline.generate and tier.paints:  # whatever became of the stage before it
            return (await self._call(model, await self._faces(tier)))[0], {}
        health, answer = await self._call(model, _taken(model, step, flowing))
        return health, {flow: answer[name] for name, flow in step.outputs.items() if name in answer}

    async def _faces(self, tier: Tier) -> dict[str, Value]:
        """Return inputs of a generate stage: a few grey faces, in the size of this server's tier."""
        form = await form_of(self._connection) if tier.has_forms else None
        side = tier.geometry(CropForm((form or Form()).resolution)).size
        return {
            "FACES": np.full((_FRAMES, side, side, 3), 127, np.uint8),
            "AUDIO": self._speech,
            "OPTIONS": json.dumps(dict(tier.least)).encode(),
        }

    async def _shapes(self, leaf: str) -> dict[str, tuple[int, ...]]:
        """Return the shapes of a leaf's inputs for one item, from the server's model metadata."""
        metadata = await self._connection.ask("get_model_metadata", leaf)
        shapes = {entry.name: tuple(max(1, size) for size in entry.shape) for entry in metadata.inputs}
        if any(math.prod(shape) > _MOST_NUMBERS for shape in shapes.values()):
            raise InternalError(
                f"The server states that the model {leaf} takes more than {_MOST_NUMBERS} numbers.",
                "Check that client and server are of one version.",
            )
        return shapes

    async def _call(self, model: ModelContract, inputs: Mapping[str, Value]) -> tuple[ModelHealth, Answer]:
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


def _taken(model: ModelContract, step: Step, flowing: Mapping[str, Value]) -> dict[str, Value]:
    """Return a stage's inputs; KeyError where a text that it must have does not flow.

    Where the stage before it failed, zeros stand for what that would have made of the crops that flow.
    """
    taken: dict[str, Value] = {}
    frames = flowing.get("FRAMES")
    rows = len(frames) if isinstance(frames, np.ndarray) else 0
    for tensor in model.inputs:
        flow, text = step.inputs.get(tensor.name, ""), tensor.dtype == "BYTES"
        if flow in flowing:
            taken[tensor.name] = flowing[flow]
        elif tensor.optional:
            continue
        elif isinstance(flowing.get(tensor.name), bytes if text else np.ndarray):
            taken[tensor.name] = flowing[tensor.name]
        elif text:
            raise KeyError(tensor.name)
        else:
            dims = [rows if size < 0 else size for size in tensor.dims]
            taken[tensor.name] = np.zeros(dims, NUMPY[tensor.dtype])
    return taken
