"""Leaf models and stages, called by themselves."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput, InferResult
from tritonclient.utils import InferenceServerException

from lipserve.contracts import FACE_LANDMARKS, MODELS, NUMPY, Model, of_tier
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.tensors import CANARY, fits, smallest
from tests.support.processes import computing
from tests.support.waiting import until

pytestmark = pytest.mark.serve

Outcome = InferResult | InferenceServerException


def inputs(model: Model, arrays: dict[str, NDArray[Any]]) -> list[InferInput]:
    made = []
    for spec in model.inputs:
        if spec.name in arrays:
            tensor = InferInput(spec.name, list(arrays[spec.name].shape), spec.dtype)
            tensor.set_data_from_numpy(arrays[spec.name])
            made.append(tensor)
    return made


def ask(triton: InferenceServerClient, model: Model, arrays: dict[str, Any], **more: Any) -> Any:
    """Send a request and return where its outcome will be."""
    outcome: queue.Queue[Outcome] = queue.Queue()

    def receive(result: InferResult | None, error: InferenceServerException | None) -> None:
        outcome.put(error if error is not None else result)

    return outcome, triton.async_infer(model.name, inputs(model, arrays), receive, **more)


OF_BOTH = {model.name: model for tier in ("lipwarp", "wav2lip") for model in of_tier(tier)}.values()
"""The models of the shared server."""


@pytest.mark.parametrize(
    "model", [model for model in OF_BOTH if model.kind == "leaf"], ids=lambda model: model.name
)
def test_a_leaf_gives_what_its_graph_gives(server: Any, exported: Path, model: Model) -> None:
    rng = np.random.default_rng(3)
    arrays = {
        spec.name: rng.integers(0, 256, (2, *spec.dims)).astype(NUMPY[spec.dtype])
        if spec.dtype == "UINT8"
        else rng.normal(size=(2, *spec.dims)).astype(np.float32)
        for spec in model.inputs
    }
    expected = OnnxLeaves(exported)(model.name, arrays)
    with InferenceServerClient(server.url) as triton:
        found = triton.infer(model.name, inputs(model, arrays))
    for spec in model.outputs:
        np.testing.assert_allclose(found.as_numpy(spec.name), expected[spec.name], atol=1e-3)


def test_requests_that_share_a_batch_get_their_own_answers(server: Any, exported: Path) -> None:
    """Sixteen at once, of one to three pictures each, with canaries among them, behind four full batches."""
    rng = np.random.default_rng(4)
    sizes = [FACE_LANDMARKS.max_batch_size] * 4 + [1 + i % 3 for i in range(16)]
    pictures = [rng.integers(0, 256, (n, 192, 192, 3), dtype=np.uint8) for n in sizes]
    runs = 'lipserve_run_seconds_count{leaf="face_landmarks"}'  # without the supervisor's canaries
    before = server.metrics()[runs]
    with InferenceServerClient(server.url) as triton:
        waiting = [ask(triton, FACE_LANDMARKS, {"IMAGES": picture})[0] for picture in pictures]
        canaries = [
            ask(triton, FACE_LANDMARKS, {"IMAGES": pictures[-1]}, parameters={CANARY: True})[0]
            for _ in range(3)
        ]
        found = [answer.get(timeout=120) for answer in waiting]
        empty = [answer.get(timeout=120) for answer in canaries]
    leaves = OnnxLeaves(exported)
    for picture, answer in zip(pictures, found, strict=True):
        expected = leaves("face_landmarks", {"IMAGES": picture})["LANDMARKS"]
        np.testing.assert_allclose(answer.as_numpy("LANDMARKS"), expected, atol=0.05)  # pixels
    assert all(not answer.as_numpy("LANDMARKS").any() for answer in empty)
    assert server.metrics()[runs] - before < len(pictures), "nothing was batched"


@pytest.mark.parametrize(
    "model", [model for model in OF_BOTH if model.kind != "ensemble"], ids=lambda model: model.name
)
def test_a_canary_is_answered_by_contract_without_work(server: Any, model: Model) -> None:
    arrays = smallest([spec for spec in model.inputs if not spec.optional], model)
    counted = f'lipserve_requests_total{{outcome="ok",stage="{model.name}"}}'
    before = server.metrics().get(counted)
    with InferenceServerClient(server.url) as triton:
        answer = triton.infer(model.name, inputs(model, arrays), parameters={CANARY: True}, client_timeout=60)
    assert all(fits(answer.as_numpy(spec.name), spec, model) for spec in model.outputs)
    assert server.metrics().get(counted) == before


def test_an_abandoned_request_is_given_up(server: Any) -> None:
    """Two thousand crops take eight seconds of a core: the stage stops between two calls of its leaf."""
    model = MODELS["wav2lip_generate"]
    count = 2000
    arrays = {"FACES": np.zeros((count, 96, 96, 3), np.uint8), "AUDIO": np.zeros(count * 640, np.float32)}
    key = 'lipserve_requests_total{outcome="cancelled",stage="wav2lip_generate"}'
    before = server.metrics().get(key, 0.0)
    with InferenceServerClient(server.url) as triton:
        outcome, call = ask(triton, model, arrays)
        until(lambda: server.in_flight(model.name), "it is not begun")
        with computing(4.0, server.pid):
            call.cancel()
            assert "CANCELLED" in str(outcome.get(timeout=120).status())
            until(lambda: server.metrics().get(key, 0.0) == before + 1, "it is not given up")
