"""Base classes of the model repository's adapters; they run inside Triton's Python backend only."""

from __future__ import annotations

import errno
import os
import re
import secrets
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from lipserve import memory
from lipserve.cancellation import cancellable
from lipserve.contracts import EVERY_MODEL, MODELS, Model, models
from lipserve.errors import (
    CancelledError,
    InternalError,
    LimitError,
    LipServeError,
    StorageError,
    UnavailableError,
    from_wire,
)
from lipserve_server.inside import callers, shm
from lipserve_server.inside.leaves import FORMED, THREADS, Network
from lipserve_server.inside.metrics import LeafMetrics, Observer, StageMetrics
from lipserve_server.inside.tensors import CANARY, fits, smallest

Value = bytes | NDArray[Any]

# Names of `pb_utils.TritonError`'s codes: Triton fills that class only after it has imported the adapter.
_CODES = {
    "INVALID_ARGUMENT": "INVALID_ARG",
    "NOT_FOUND": "NOT_FOUND",
    "UNAVAILABLE": "UNAVAILABLE",
    "CANCELLED": "CANCELLED",
}
_KEPT = frozenset({"FEATURES"})  # outputs that only go into another leaf
_CALLER = re.compile(rf'"{callers.PARAMETER}":\s*"(\w+)"')  # in the JSON that Triton makes of parameters
_GONE = ("is not healthy", "is not ready", "Server not ready", "no available versions", "unknown model")


def read_inputs(model: Model, request: Any) -> dict[str, Any]:
    """Return every input of the contract; None for an optional one that the request lacks.

    BYTES are bytes, a list of them where there may be several; all else is an array.
    """
    values: dict[str, Any] = {}
    for spec in model.inputs:
        tensor = pb_utils.get_input_tensor_by_name(request, spec.name)
        value = None if tensor is None else tensor.as_numpy()
        if value is not None and spec.dtype == "BYTES":
            value = list(value.reshape(-1)) if spec.dims == (-1,) else value.reshape(-1)[0]
        values[spec.name] = value
    return values


def _response(model: Model, values: Mapping[str, Value], wanted: Container[str] | None = None) -> Any:
    """Return the response; raise if a value breaks the contract, which Triton itself would not notice.

    Args:
        wanted: the outputs that were asked for; None: all.
    """
    tensors = []
    for spec in model.outputs:
        if wanted is not None and spec.name not in wanted:
            continue
        value = values[spec.name]
        array = np.array([value], np.object_) if isinstance(value, bytes) else np.ascontiguousarray(value)
        if not fits(array, spec, model):
            raise TypeError(f"output {spec.name} is {array.dtype} {array.shape}, not {spec}")
        tensors.append(pb_utils.Tensor(spec.name, array))
    return pb_utils.InferenceResponse(output_tensors=tensors)


def _caller(request: Any) -> str:
    """Return the caller's name that the guard added to the request; "" if it did not pass the guard."""
    found = _CALLER.search(request.parameters() or "")
    return found[1] if found else ""


def _canary_response(request: Any, model: Model) -> Any:
    """Return the empty response to a canary; None if the request is no canary."""
    if f'"{CANARY}"' not in request.parameters():
        return None
    return _response(model, smallest(model.outputs, model), request.requested_output_names())


def typed(error: Exception, model: Model) -> LipServeError:
    """Return the error for the client, without paths and traceback; the log gets both."""
    if isinstance(error, LipServeError) and not isinstance(error, InternalError):
        return error
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        pb_utils.Logger.log_error(f"{model.name}: {error}")
        return StorageError("The server's temporary directory is full.", "Try again later.")
    if isinstance(error, MemoryError):
        pb_utils.Logger.log_error(f"{model.name}: {error!r}")
        return LimitError(
            "The request needs more memory than this server allows.", "Send a shorter or smaller clip."
        )
    full = shm.fault(str(error))
    if full is not None:
        pb_utils.Logger.log_error(f"{model.name}: {error}")
        return full
    incident = secrets.token_hex(4)
    trace = "".join(traceback.format_exception(error))
    pb_utils.Logger.log_error(f"{model.name}: incident {incident}\n{trace}")
    return InternalError(
        f"A defect in {model.name}: incident {incident}.", "Search the server's log for that number."
    )


def _error_response(error: Exception, model: Model) -> Any:
    shown = typed(error, model)
    code = getattr(pb_utils.TritonError, _CODES.get(shown.status, "INTERNAL"))
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(shown.to_wire(), code))


def _gave_up() -> CancelledError:
    return CancelledError("The caller cancelled the request.")


class BlsLeaves:
    """Calls leaf models through Triton: `lipserve.leaves.Leaves` inside a stage."""

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return the outputs of one call, whose batch is at most the contract's `max_batch_size`.

        FEATURES stay Triton's own tensor: they are large, and go into the next call without a copy.

        Raises UnavailableError where the leaf model is being brought back, CancelledError where nobody
        waits any more.
        """
        self._watch.raise_if_cancelled()
        names = list(outputs or (spec.name for spec in EVERY_MODEL[model].outputs))
        request = pb_utils.InferenceRequest(
            model_name=model,
            requested_output_names=names,
            inputs=[_input(name, value) for name, value in inputs.items()],
            # Engines leave their outputs on the GPU otherwise, where numpy cannot read them.
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
            trace=self._watch.request.trace(),  # a traced clip shows the calls of its leaves too
        )
        started = time.perf_counter()
        try:
            response = request.exec()
        except pb_utils.TritonModelException as error:
            raise _leaf_error(model, str(error)) from error
        if response.has_error():
            raise _leaf_error(model, response.error().message())
        rows = len(inputs[EVERY_MODEL[model].inputs[0].name])
        self._watch.leaf(model, rows, time.perf_counter() - started)
        return {name: _output(response, name) for name in names}


def _input(name: str, value: Any) -> Any:
    return value if name in _KEPT else pb_utils.Tensor(name, np.ascontiguousarray(value))


def _output(response: Any, name: str) -> Any:
    tensor = pb_utils.get_output_tensor_by_name(response, name)
    # Copied: the array is a view of shared memory that ends with the response.
    return tensor if name in _KEPT else np.array(tensor.as_numpy())


def _leaf_error(model: str, message: str) -> LipServeError:
    if any(sign in message for sign in _GONE):
        return UnavailableError(f"The model {model} is being restarted.", "Try again in a few seconds.")
    return from_wire(message) or shm.fault(message) or InternalError(f"The model {model} failed: {message}")


class _Watch:
    """The observer of a stage: its metrics, and the cancellation check of the current request."""

    def __init__(self, metrics: StageMetrics) -> None:
        self.frames = metrics.frames
        self.faceless = metrics.faceless
        self.covered = metrics.covered
        self.leaf = metrics.leaf
        self.request: Any = None
        self.caller = ""

    def begin(self, request: Any) -> None:
        """Switch to the next request."""
        self.request, self.caller = request, _caller(request)

    def raise_if_cancelled(self) -> None:
        if self.request is not None and (self.request.is_cancelled() or not callers.waits(self.caller)):
            raise _gave_up()


class StageModel(ABC):
    """Base of the stages' adapters. A stage's process serves one request at a time."""

    reads_files: ClassVar[bool] = False
    """Whether files of strangers are opened here: what they may take of memory is bounded."""
    encodes: ClassVar[bool] = False
    """Whether results are encoded here: x264 takes gigabytes for the largest pictures, so nothing but the
    opening of files is bounded."""

    leaves: BlsLeaves
    observer: Observer
    repository: Path

    def initialize(self, args: Mapping[str, str]) -> None:
        # Here: processes of leaves share this module, are half of all processes, and start faster without it.
        from lipserve_server.inside.limits import MIB, Limits
        from lipserve_server.repository import engines

        self._model = MODELS[args["model_name"]]
        self._metrics = StageMetrics(self._model.name, args["model_instance_name"], pb_utils.MetricFamily)
        self.observer = self._watch = _Watch(self._metrics)
        self.leaves = BlsLeaves(self._watch)
        self.repository = Path(args["model_repository"]).parent
        if self.reads_files:
            memory.own(None if self.encodes else Limits.of().stage_mib * MIB)
        engines.check_stage(self._model.name, self.repository)
        self.start()

    @abstractmethod
    def start(self) -> None:
        """Load what all requests need."""

    @abstractmethod
    def serve(self, inputs: dict[str, Any]) -> Mapping[str, Value]:
        """Return the outputs of one request, by their names in the contract."""

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        canary = _canary_response(request, self._model)
        if canary is not None:
            return canary
        self._watch.begin(request)
        try:
            with self._metrics.segment(), cancellable(self._watch.raise_if_cancelled):
                self._watch.raise_if_cancelled()
                return _response(self._model, self.serve(read_inputs(self._model, request)))
        except Exception as error:
            return _error_response(error, self._model)
        finally:
            self._watch.request = None


def _leaf(name: str, repository: Path) -> Model:
    """Return the contract of a leaf: the shapes of the quality tier's stand in its manifest."""
    if name not in FORMED:
        return EVERY_MODEL[name]
    from lipserve_server.repository.manifest import read_form  # here: no other leaf reads one

    return models(read_form(repository))[name]


class LeafModel:
    """Adapter of a leaf model in the profile embedded: ONNX Runtime with a given number of threads."""

    def initialize(self, args: Mapping[str, str]) -> None:
        folder = Path(args["model_repository"])
        self._model = _leaf(args["model_name"], folder.parent)
        threads = int(os.environ.get(THREADS, "1"))
        self._network = Network(folder / args["model_version"] / "model.onnx", threads)
        self._metrics = LeafMetrics(self._model.name, pb_utils.MetricFamily)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer a dynamic batch with one run; canaries and cancelled requests stay out of it."""
        responses: list[Any] = [self._without_work(request) for request in requests]
        waiting = [i for i, response in enumerate(responses) if response is None]
        if waiting:
            try:
                answers = self._run([requests[i] for i in waiting])
            except Exception as error:
                answers = [_error_response(error, self._model) for _ in waiting]
            for i, answer in zip(waiting, answers, strict=True):
                responses[i] = answer
        return responses

    def _without_work(self, request: Any) -> Any:
        canary = _canary_response(request, self._model)
        if canary is not None:
            return canary
        return _error_response(_gave_up(), self._model) if request.is_cancelled() else None

    def _run(self, requests: Sequence[Any]) -> list[Any]:
        values = [read_inputs(self._model, request) for request in requests]
        feeds = {
            spec.name: np.concatenate([v[spec.name] for v in values])
            if len(values) > 1
            else values[0][spec.name]
            for spec in self._model.inputs
        }
        wanted = [request.requested_output_names() for request in requests]
        names = sorted({name for own in wanted for name in own})
        with self._metrics.run():
            outputs = self._network.run(names, feeds)
        sizes = [len(v[self._model.inputs[0].name]) for v in values]
        edges = np.cumsum(sizes)[:-1]
        parts = zip(*(np.split(output, edges) for output in outputs), strict=True)
        return [
            _response(self._model, dict(zip(names, part, strict=True)), own)
            for part, own in zip(parts, wanted, strict=True)
        ]
