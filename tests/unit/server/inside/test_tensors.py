from __future__ import annotations

import numpy as np
import pytest

from lipserve.contracts import FACE_LANDMARKS, MODELS, Model
from lipserve_server.inside.tensors import fits, smallest

PREPROCESS, GENERATE = MODELS["wav2lip_preprocess"], MODELS["wav2lip_generate"]


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_the_smallest_arrays_keep_the_contract(model: Model) -> None:
    for specs in (model.inputs, model.outputs):
        arrays = smallest(specs, model)
        assert all(fits(arrays[spec.name], spec, model) for spec in specs)


def test_a_canary_of_a_stage_carries_nothing() -> None:
    arrays = smallest(PREPROCESS.outputs, PREPROCESS)
    assert arrays["FACES"].shape == (0, 0, 0, 3)
    assert list(arrays["CONTEXT"]) == [b""]


@pytest.mark.parametrize(
    ("array", "good"),
    [
        (np.zeros((2, 96, 96, 3), np.uint8), True),
        (np.zeros((0, 96, 96, 3), np.uint8), True),
        (np.zeros((2, 96, 96, 3), np.float32), False),
        (np.zeros((96, 96, 3), np.uint8), False),
        (np.zeros((2, 96, 96, 4), np.uint8), False),
    ],
)
def test_arrays_that_break_the_contract_do_not_fit(array: np.ndarray, good: bool) -> None:
    assert fits(array, GENERATE.outputs[0], GENERATE) == good


def test_a_batching_model_has_one_axis_more() -> None:
    spec = FACE_LANDMARKS.outputs[0]
    assert fits(np.zeros((5, 468, 3), np.float32), spec, FACE_LANDMARKS)
    assert not fits(np.zeros((468, 3), np.float32), spec, FACE_LANDMARKS)
