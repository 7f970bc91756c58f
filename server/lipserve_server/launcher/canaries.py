"""Requests that ask a model for an empty answer: what does not answer them is dead, though it may live.

A canary says when a process lives and its model does not: Triton then answers that it is not healthy. One
that waits is no sign: its model is busy. A model whose smallest request is large (DeepCache's step at full
width) is not asked.

An engine (profiles tensorrt and onnx) has no process and answers a canary by computing, so only the face
detector is asked, and any error tells: a GPU that failed once fails every call, of all models.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial

from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from lipserve.contracts import FACE_DETECTOR, Model, Profile, Tensor
from lipserve_server.inside.tensors import CANARY, smallest

CANARY_BYTES = 8 << 20


def watched(models: Iterable[Model], profile: Profile) -> list[Model]:
    """Return the models that are asked."""
    return [
        model
        for model in models
        if model.kind == "stage"
        or (model.kind == "leaf" and profile == "embedded" and _canary_bytes(model) <= CANARY_BYTES)
        or model.name == FACE_DETECTOR.name
    ]


class Canaries:
    """Asks every watched model of `models` for an empty answer, at most one request at a time each."""

    def __init__(self, client: InferenceServerClient, models: Iterable[Model], profile: Profile) -> None:
        self._client = client
        self._models = watched(models, profile)
        self._engines = {m.name for m in self._models if m.kind == "leaf" and profile != "embedded"}
        self._lock = threading.Lock()
        self._waiting: dict[str, object] = {}
        self._sick: set[str] = set()

    def send(self) -> None:
        """Ask every model that owes no answer."""
        for model in self._models:
            mark = object()
            with self._lock:
                if model.name in self._waiting:
                    continue
                self._waiting[model.name] = mark
            receive = partial(self._receive, model.name, mark)
            self._client.async_infer(
                model.name,
                _canary_inputs(model),
                receive,
                outputs=[InferRequestedOutput(model.outputs[0].name)],
                parameters={CANARY: True},
            )

    def sick(self) -> set[str]:
        """Return the models whose last canary died."""
        with self._lock:
            return set(self._sick)

    def waiting(self) -> set[str]:
        """Return the models that owe an answer: each has one request that is no user's."""
        with self._lock:
            return set(self._waiting)

    def forget(self, model: str) -> None:
        """Start anew with a model that was brought back: what is still on its way tells of its old self."""
        with self._lock:
            self._waiting.pop(model, None)
            self._sick.discard(model)

    def _receive(
        self, name: str, mark: object, result: object, error: InferenceServerException | None
    ) -> None:
        with self._lock:
            if self._waiting.get(name) is not mark:
                return
            del self._waiting[name]
            if error is None:
                return
            failed = name in self._engines and str(error.status()) == "StatusCode.INTERNAL"
            if failed or "is not healthy" in str(error.message()):
                self._sick.add(name)


def _canary_bytes(model: Model) -> int:
    return sum(array.nbytes for array in smallest(_needed(model), model).values())


def _needed(model: Model) -> list[Tensor]:
    return [spec for spec in model.inputs if not spec.optional]


def _canary_inputs(model: Model) -> list[InferInput]:
    values = smallest(_needed(model), model)
    inputs = []
    for spec in _needed(model):
        tensor = InferInput(spec.name, list(values[spec.name].shape), spec.dtype)
        tensor.set_data_from_numpy(values[spec.name])
        inputs.append(tensor)
    return inputs
