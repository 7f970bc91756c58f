from __future__ import annotations

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from skimage.data import astronaut

from lipserve_export.graphs.parity import difference
from lipserve_export.graphs.runtime import run, session
from lipserve_export.wav2lip.generator import random_generator, wav2lip_generator, wav2lip_network
from lipserve_export.wav2lip.network import VARIANTS, Wav2Lip
from lipserve_export.wav2lip.parity import WAV2LIP_TOLERANCE, wav2lip_inputs

SWAPPED = [2, 1, 0, 5, 4, 3]


@pytest.fixture(scope="module", params=["compressed", pytest.param("original", marks=pytest.mark.slow)])
def model(request: pytest.FixtureRequest) -> Wav2Lip:
    return random_generator(VARIANTS[request.param], 1247)


@pytest.fixture(scope="module")
def network(model: Wav2Lip) -> InferenceSession:
    return session(wav2lip_network(model))


@pytest.fixture(scope="module")
def compressed() -> Wav2Lip:
    return random_generator(VARIANTS["compressed"], 1247)


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        *(("compressed", batch) for batch in (1, 3, 16)),
        pytest.param("original", 1, marks=pytest.mark.slow),
        *(pytest.param("original", batch, marks=pytest.mark.whole) for batch in (3, 16)),
    ],
    indirect=["model"],
)
def test_onnx_runtime_equals_pytorch_before_rounding(
    model: Wav2Lip, network: InferenceSession, batch: int
) -> None:
    mel, faces = wav2lip_inputs(batch, seed=batch)
    with torch.inference_mode():
        bgr = model(torch.from_numpy(mel), torch.from_numpy(faces[:, SWAPPED])).numpy()
    rgb = run(network, {"MEL": mel, "FACES": faces})["GENERATED"]
    assert float(bgr.std()) > 0.05
    assert difference(rgb, bgr[:, ::-1]).largest <= WAV2LIP_TOLERANCE


def test_the_served_graph_masks_scales_swaps_and_rounds(compressed: Wav2Lip) -> None:
    face = astronaut()[60:156, 176:272]
    mel = wav2lip_inputs(2)[0]
    served = run(session(wav2lip_generator(compressed)), {"MEL": mel, "FACES": np.stack([face, face])})

    bgr = face[..., ::-1].transpose(2, 0, 1).astype(np.float32) / 255
    masked = bgr.copy()
    masked[:, 48:] = 0
    faces = np.stack([np.concatenate([masked, bgr])] * 2)
    with torch.inference_mode():
        expected = compressed(torch.from_numpy(mel), torch.from_numpy(faces)).numpy()
    levels = np.round(expected.transpose(0, 2, 3, 1)[..., ::-1] * 255)
    error = np.abs(served["GENERATED"].astype(int) - levels)
    assert served["GENERATED"].dtype == np.uint8
    assert error.max() <= 1  # a value on the very edge of a level
    assert error.mean() < 1e-3


def test_random_weights_paint_a_varied_picture_that_hears_the_speech(model: Wav2Lip) -> None:
    face = astronaut()[60:156, 176:272]
    mel = np.stack([np.full((1, 80, 16), -4, np.float32), *wav2lip_inputs(1)[0]])
    silent, loud = run(session(wav2lip_generator(model)), {"MEL": mel, "FACES": np.stack([face, face])})[
        "GENERATED"
    ].astype(float)
    assert silent[48:].std(axis=(0, 1)).min() > 10
    assert loud[48:].std(axis=(0, 1)).min() > 10
    assert np.abs(silent - loud)[48:].mean() > 5


def test_a_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (
        wav2lip_generator(random_generator(VARIANTS["compressed"], seed)).SerializeToString(
            deterministic=True
        )
        for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other
