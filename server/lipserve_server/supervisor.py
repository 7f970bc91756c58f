"""Bring dead models back: Triton 24.10 never starts a Python model's process again, and calls it ready.

Two signs of death are watched. The operating system says at once when a process is gone, also where a
living sibling would have answered in its place. A canary request says when a process lives and its model
does not: Triton then answers that it is not healthy. A canary that waits is no sign: its model is busy.
A model whose smallest request is large (DeepCache's step at full width) is watched by the first sign only.

An engine (profiles tensorrt and onnx) has no process and answers a canary by computing, so only the face
detector is asked, and any error tells: a GPU that failed once fails every call, of all models.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from lipserve.contracts import FACE_DETECTOR, Model, Profile, Tensor
from lipserve_server.control import ModelControl
from lipserve_server.tensors import CANARY, smallest

WATCH_SECONDS = 0.25
CANARY_SECONDS = 3.0
CANARY_BYTES = 8 << 20
RETRY_SECONDS = 2.0  # before the next try where bringing a model back failed


def stubs(triton: int) -> dict[int, str]:
    """Return the model of every process that serves one: the children of the process `triton`."""
    found = {}
    for task in Path(f"/proc/{triton}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            try:
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"triton_python_backend_stub"):
                found[int(child)] = Path(words[1].decode()).parents[1].name
    return found


def alive(process: int) -> bool:
    """Return whether a process runs: it exists, and is not waiting to be buried."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")


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


class Supervisor:
    """Watches one server, in a thread of its own, until it is stopped.

    Attributes:
        restarts: how often each model was brought back.
    """

    def __init__(self, triton: int, control: ModelControl, profile: Profile, logger: logging.Logger) -> None:
        self._triton = triton
        self._control = control
        self._logger = logger
        self._canaries = Canaries(control.client, control.models, profile)
        self._stubs = stubs(triton)
        self.restarts: Counter[str] = Counter()
        self._lost: dict[str, float] = {}  # since when, by model
        self._next_try: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lipserve-supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """End the watch; what is being brought back is brought back first, within `timeout` seconds."""
        self._stopping.set()
        self._thread.join(timeout)

    def lost(self) -> dict[str, float]:
        """Return for how many seconds each model has been dead that is not back yet."""
        now = time.monotonic()
        return {model: now - since for model, since in self._lost.copy().items()}

    def canaries(self) -> set[str]:
        """Return the models in which a canary waits or is at work."""
        return self._canaries.waiting()

    def _run(self) -> None:
        next_canary = time.monotonic()
        while not self._stopping.wait(WATCH_SECONDS):
            if not alive(self._triton):
                return  # whoever started the server sees that
            if time.monotonic() >= next_canary:
                self._canaries.send()
                next_canary = time.monotonic() + CANARY_SECONDS
            for model in sorted(self._dead() | self._canaries.sick()):
                if time.monotonic() >= self._next_try.get(model, 0.0):
                    self._revive(model)

    def _dead(self) -> set[str]:
        return {model for process, model in self._stubs.items() if not alive(process)}

    def _revive(self, model: str) -> None:
        """Try once to bring a model back; where it does not come, a later look tries again."""
        if model not in self._lost:
            self._lost[model] = time.monotonic()
            self._logger.warning("A process of the model %s died; bringing the model back.", model)
        before = stubs(self._triton)
        try:
            self._control.reload(model)
        except InferenceServerException as error:
            if alive(self._triton):
                self._logger.error("The model %s does not come back: %s", model, error.message())
            self._next_try[model] = time.monotonic() + RETRY_SECONDS
            return
        # The old model's living processes end by themselves when their requests are answered.
        others = {process: name for process, name in self._stubs.items() if name != model}
        new = {p: name for p, name in stubs(self._triton).items() if name == model and p not in before}
        self._stubs = others | new
        self._canaries.forget(model)
        self.restarts[model] += 1
        seconds = time.monotonic() - self._lost.pop(model)
        self._logger.warning("The model %s is back after %.1f s.", model, seconds)
